package main

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"callscreen/internal/config"
	"callscreen/internal/store"
)

// openStore opens the database of a configuration. The sidecar may be running on it.
func openStore(ctx context.Context, cfg config.Config) (*store.Store, error) {
	return store.Open(ctx, store.Options{URL: cfg.Database.Reveal(), Dir: cfg.DataDir})
}

// withStore runs a verb on the database.
func withStore(cmd *cobra.Command, e env, file string, do func(ctx context.Context, s *store.Store) error) (err error) {
	cfg, err := loadConfig(e, file)
	if err != nil {
		return err
	}
	s, err := openStore(cmd.Context(), cfg)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	return do(cmd.Context(), s)
}

func newMigrate(e env) *cobra.Command {
	file := ""
	cmd := &cobra.Command{
		Use:   "migrate",
		Short: "Creates or updates the tables of the database",
		Long: `Creates or updates the tables of the database. PostgreSQL needs it before the first start and before each newer version;
CALLSCREEN_DATABASE or the key database is its address. serve updates SQLite itself.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := loadConfig(e, file)
			if err != nil {
				return err
			}
			if err := store.Migrate(cmd.Context(), store.Options{URL: cfg.Database.Reveal(), Dir: cfg.DataDir}); err != nil {
				return err
			}
			_, err = e.stdout.Write([]byte("the tables are up to date\n"))
			return err
		},
	}
	configFlag(cmd, &file)
	return cmd
}

func configFlag(cmd *cobra.Command, file *string) {
	cmd.PersistentFlags().StringVar(file, "config", "", "configuration file (default: callscreen.yaml if it exists)")
}
