package rtc

import (
	"log/slog"
	"os"
	"strconv"
	"strings"
)

// checkBuffer warns if the kernel grants a smaller receive buffer than requested. Packets are then lost whenever the
// machine is busy, without another symptom.
func checkBuffer(log *slog.Logger) {
	data, err := os.ReadFile("/proc/sys/net/core/rmem_max")
	if err != nil {
		return
	}
	if most, err := strconv.Atoi(strings.TrimSpace(string(data))); err == nil && most < ReceiveBuffer {
		log.Warn("receive buffer for media is too small, packets may be lost under load",
			"bytes", most, "hint", "sysctl -w net.core.rmem_max=4194304")
	}
}
