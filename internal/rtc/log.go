package rtc

import (
	"fmt"
	"log/slog"

	"github.com/pion/logging"
)

// logs forwards log messages of pion at one level lower: its errors are mostly ends of connections.
type logs struct{ log *slog.Logger }

// NewLogger implements logging.LoggerFactory.
func (l logs) NewLogger(scope string) logging.LeveledLogger {
	return leveled{l.log.With("pion", scope)}
}

type leveled struct{ log *slog.Logger }

func (l leveled) Trace(string)                  {}
func (l leveled) Tracef(string, ...any)         {}
func (l leveled) Debug(string)                  {}
func (l leveled) Debugf(string, ...any)         {}
func (l leveled) Info(string)                   {}
func (l leveled) Infof(string, ...any)          {}
func (l leveled) Warn(msg string)               { l.log.Debug(msg) }
func (l leveled) Warnf(format string, a ...any) { l.log.Debug(fmt.Sprintf(format, a...)) }
func (l leveled) Error(msg string)              { l.log.Info(msg) }
func (l leveled) Errorf(format string, a ...any) {
	l.log.Info(fmt.Sprintf(format, a...))
}
