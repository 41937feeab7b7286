package doctor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"callscreen/internal/config"
	"callscreen/internal/screen"
	"callscreen/internal/spool"
	"callscreen/internal/store"
)

// Kept is data that should be gone and is not.
type Kept struct {
	Rows []store.Stuck
	// Unclean means that the database file may hold copies of erased rows.
	Unclean bool
	// Files are those of the spool that belong to no readable entry.
	Files []string
}

// Kept implements World.
func (Machine) Kept(ctx context.Context, cfg config.Config) (k Kept, err error) {
	if k.Files, err = spool.Leftovers(filepath.Join(cfg.DataDir, "spool"), screen.Understood); err != nil {
		return k, err
	}
	if _, e := os.Stat(filepath.Join(cfg.DataDir, "callscreen.db")); cfg.Database == "" && errors.Is(e, fs.ErrNotExist) {
		return k, nil
	}
	s, err := store.Open(ctx, store.Options{URL: cfg.Database.Reveal(), Dir: cfg.DataDir})
	if err != nil {
		return k, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	var endpoints []string
	for _, w := range cfg.Webhooks {
		endpoints = append(endpoints, w.Name)
	}
	if k.Rows, err = s.Stuck(ctx, endpoints, time.Now()); err != nil {
		return k, err
	}
	k.Unclean, err = s.Unclean(ctx)
	return k, err
}

// retention lists data that retention or an erasure could not delete.
func (p patient) retention(ctx context.Context) (all []Finding) {
	k, err := p.Kept(ctx, p.cfg)
	if errors.Is(err, store.ErrSchema) {
		return nil // the database has a finding
	}
	if err != nil {
		return fault("retention", Warning, err, "check the database and data_dir")
	}
	warn := func(hint, format string, args ...any) {
		all = append(all, Finding{"retention", Warning, fmt.Sprintf(format, args...), hint})
	}
	for _, s := range k.Rows {
		where, example := cmp.Or(s.Where, "the shared audio store"), ""
		if s.Call != "" {
			example = ", such as " + s.Call
		}
		switch s.Kind {
		case store.StuckAudio:
			warn("the log of serve has the error; check the permission to delete in the audio store",
				"the audio of %d calls%s, has expired and is not deleted from %s", s.Count, example, where)
		case store.StuckLostNode:
			warn("start the node; or start serve with its data_dir, or erase the calls once it was gone for 7 days",
				"the audio of %d calls%s, has expired, and only node %s, which is gone, can delete it", s.Count, example, where)
		case store.StuckErasedAudio:
			warn("start the node, which deletes it; or destroy its disk",
				"node %s, which was gone, may have the audio of %d segments of erased calls%s", where, s.Count, example)
		case store.StuckWebhook:
			warn("configure the endpoint again, or wait: after 24 h they are given up",
				"%d webhook messages wait for endpoint %s, which is not configured", s.Count, where)
		}
	}
	if k.Unclean {
		warn("let serve run: it rewrites the file in an idle minute, which needs three times its size of free space",
			"callscreen.db may hold copies of erased records")
	}
	for i, name := range k.Files {
		const most = 20
		if i == most {
			warn("look into the directory", "%d further files in spool belong to no call", len(k.Files)-most)
			break
		}
		warn("keep it as evidence, or delete it", "spool/%s belongs to no call", name)
	}
	if len(all) == 0 {
		return fine("retention", "nothing is kept that should be gone")
	}
	return all
}
