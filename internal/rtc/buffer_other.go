//go:build !linux

package rtc

import "log/slog"

func checkBuffer(*slog.Logger) {}
