package storetest

import (
	"fmt"
	"sync"
	"testing"

	"callscreen/internal/store"
)

func audited(t *testing.T, s *store.Store, call, what string) (n int) {
	t.Helper()
	lines, err := s.AuditOf(ctxOf(t), call)
	must(t, err)
	for _, l := range lines {
		if l.What == what {
			n++
		}
	}
	return n
}

func auditChain(t *testing.T, s *store.Store) {
	ctx := ctxOf(t)
	for i := range 5 {
		must(t, s.InTx(ctx, func(tx *store.Tx) error {
			return tx.Audit(ctx, store.Line{
				At:     now,
				Actor:  "a",
				What:   "x",
				Call:   "c",
				Detail: store.Detail{"i": i, "text": "<ü>"},
			})
		}))
	}
	if n, hash, err := s.VerifyAudit(ctx); n != 5 || len(hash) != 64 || err != nil {
		t.Fatal(n, hash, err)
	}
}

func auditRace(t *testing.T, s *store.Store) {
	ctx := ctxOf(t)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for range 10 {
				if err := s.InTx(ctx, func(tx *store.Tx) error {
					return tx.Audit(ctx, store.Line{At: now, Actor: fmt.Sprint(i), What: "x"})
				}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if n, _, err := s.VerifyAudit(ctx); n != 80 || err != nil {
		t.Error(n, err)
	}
}
