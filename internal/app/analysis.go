package app

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"callscreen/internal/anchor"
	"callscreen/internal/audio"
	"callscreen/internal/hook"
	"callscreen/internal/outbound"
	"callscreen/internal/screen"
)

func (a *App) buildAnalysis(ctx context.Context) error {
	cfg := a.opt.Config
	endpoints, err := hook.Endpoints(cfg.Webhooks)
	if err != nil {
		return err
	}
	allow, err := outbound.Parse(cfg.WebhookAllow)
	if err != nil {
		return fmt.Errorf("webhook_allow: %w", err)
	}
	a.hooks = newHooks(a.dispatcher(endpoints, allow))
	rules, err := json.Marshal(cfg.Policy)
	if err != nil {
		return err
	}
	version, err := a.store.UsePolicy(ctx, rules, a.store.Now())
	if err != nil {
		return err
	}
	a.decider = screen.NewDecider(screen.DeciderConfig{
		Store:         a.store,
		Policy:        cfg.Policy,
		PolicyVersion: version,
		Subscribers:   func(event string) []string { return a.hooks.current().Subscribers(event) },
		OnCommit:      a.committed,
		OnSettled:     a.settled,
		Observe:       a.observe,
		Now:           a.store.Now,
		KeepAudio: map[string]time.Duration{
			"clear":        cfg.Retention.Clear,
			"flagged":      cfg.Retention.Flagged,
			"inconclusive": cfg.Retention.Inconclusive,
		},
	})
	a.forwarder = screen.NewForwarder(screen.ForwarderConfig{
		Spool:      a.spool,
		Audio:      a.audio,
		Keys:       a.keys,
		Decider:    a.decider,
		Node:       a.audioNode(),
		Rate:       cfg.Segment.SampleRate,
		MaxAge:     cfg.Spool.MaxAge,
		Keep:       cfg.Spool.Keep,
		OnPromised: a.opt.OnPromised,
		Observe:    a.observe,
		Now:        a.store.Now,
		Since:      a.store.Since,
		Log:        a.opt.Log,
	})
	interval := time.Duration(float64(time.Second) / cfg.Analysis.RatePerSecond)
	if a.opt.Simulated {
		interval = 0 // the stand-in has no rate limit
	}
	a.worker = screen.NewWorker(screen.WorkerConfig{
		API:           a.opt.API,
		Store:         a.store,
		Decider:       a.decider,
		Audio:         a.audio,
		Node:          a.node,
		Interval:      interval,
		Deadline:      cfg.Analysis.Deadline,
		MaxAge:        cfg.Analysis.MaxAge,
		Plan:          screen.Plan{Enough: cfg.Analysis.EnoughSpeech, Recheck: cfg.Analysis.Recheck},
		ResendInDoubt: cfg.Analysis.ResendInDoubt,
		RetryCleaned:  cfg.Analysis.RetryCleaned,
		Observe:       a.observe,
		Lease:         a.lease,
		Able:          a.seesAudio(),
		Now:           a.store.Now,
		Since:         a.store.Since,
		Log:           a.opt.Log,
	})
	var signer *anchor.Signer
	if cfg.AuditKey != "" {
		if signer, err = anchor.ParseSigner(cfg.AuditKey.Reveal()); err != nil {
			return fmt.Errorf("audit_key_file: %w", err)
		}
	}
	a.maintenance, err = screen.NewMaintenance(screen.MaintenanceConfig{
		Signer:      signer,
		Worker:      a.worker,
		Store:       a.store,
		Decider:     a.decider,
		Audio:       a.audio,
		Node:        a.node,
		MaxInFlight: cfg.Analysis.MaxInFlight,
		MaxAge:      cfg.Analysis.MaxAge,
		KeepRecords: cfg.Retention.Records,
		LocalAudio:  a.audioNode() != "",
		OwnParts:    a.ownParts,
		Lease:       a.lease,
		Now:         a.store.Now,
		Expiry:      a.store.Earliest,
		Since:       a.store.Since,
		Endpoints:   func() []string { return a.hooks.current().Endpoints() },
		Leftovers:   a.forwarder,
		Room:        a.room,
		Log:         a.opt.Log,
	})
	return err
}

// marked wraps the audio store that all nodes share, and watches its marker.
func (a *App) marked(ctx context.Context, in audio.Store) audio.Store {
	a.shared = audio.NewMarked(in, audio.MarkedConfig{
		Identity: a.store.AudioIdentity,
		Samples:  a.store.AudioSamples,
		Proposal: strings.ToLower(rand.Text()),
		Temp:     filepath.Join(a.opt.Config.DataDir, "spool"),
	})
	watching := start(context.WithoutCancel(ctx), func(ctx context.Context) error {
		a.shared.Watch(ctx, func(err error) {
			if err != nil {
				a.opt.Log.Error("audio store not usable, its segments are left to other nodes", "error", err)
			} else {
				a.opt.Log.Info("audio store usable again")
			}
		})
		return nil
	})
	a.onClose("check of the audio store", watching.stop)
	return a.shared
}

// seesAudio returns the check that this node sees the audio of all nodes, nil if it has its own.
func (a *App) seesAudio() func() bool {
	if a.shared == nil {
		return nil
	}
	return func() bool { return !errors.Is(a.shared.Fault(), audio.ErrForeign) }
}

// audioNode returns the name of this node if no other node can read its audio, else "".
func (a *App) audioNode() string {
	if a.opt.Config.Audio == "" {
		return a.node
	}
	return ""
}
