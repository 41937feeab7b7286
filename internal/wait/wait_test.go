package wait_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"callscreen/internal/wait"
)

func TestForWaitsExactlyUnlessTheContextEnds(t *testing.T) {
	hangup := errors.New("hang-up")
	for name, c := range map[string]struct {
		d, cancelAfter, want time.Duration
		err                  error
	}{
		"the time passes":      {d: time.Minute, cancelAfter: time.Hour, want: time.Minute},
		"the context ends":     {d: time.Hour, cancelAfter: time.Minute, want: time.Minute, err: hangup},
		"no time":              {d: 0, cancelAfter: time.Hour},
		"negative time":        {d: -time.Second, cancelAfter: time.Hour},
		"no time, ended":       {d: 0, err: hangup},
		"time, but ended":      {d: time.Hour, err: hangup},
		"negative time, ended": {d: -time.Second, err: hangup},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancelCause(t.Context())
				defer cancel(nil)
				if c.cancelAfter == 0 {
					cancel(hangup)
				} else {
					defer time.AfterFunc(c.cancelAfter, func() { cancel(hangup) }).Stop()
				}
				start := time.Now()
				if err := wait.For(ctx, c.d); !errors.Is(err, c.err) {
					t.Errorf("returns %v, want %v", err, c.err)
				}
				if got := time.Since(start); got != c.want {
					t.Errorf("waits %v, want %v", got, c.want)
				}
			})
		})
	}
}
