package rtc

import (
	"log/slog"
	"os"
	"strconv"
	"strings"
)

// checkBuffer says so when the kernel grants less of a receive buffer than was asked for: packets are then lost whenever
// the machine is busy, and nobody sees why.
func checkBuffer(log *slog.Logger) {
	data, err := os.ReadFile("/proc/sys/net/core/rmem_max")
	if err != nil {
		return
	}
	if most, err := strconv.Atoi(strings.TrimSpace(string(data))); err == nil && most < ReceiveBuffer {
		log.Warn("the receive buffer for media is smaller than it should be; packets may be lost under load",
			"bytes", most, "hint", "sysctl -w net.core.rmem_max=4194304")
	}
}
