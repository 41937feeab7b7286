package rtc

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
)

// Drops is how many packets the kernel threw away because the sockets of the media were full, since they were opened.
func (e *Engine) Drops() (uint64, error) {
	f, err := os.Open("/proc/net/udp")
	if err != nil {
		return 0, err
	}
	defer f.Close()
	return socketDrops(f, e.port)
}

// socketDrops adds up the last column of /proc/net/udp, proc(5), for the sockets of a local port.
func socketDrops(r io.Reader, port int) (drops uint64, err error) {
	local := fmt.Sprintf(":%04X", port)
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		columns := strings.Fields(lines.Text())
		if len(columns) < 13 || !strings.HasSuffix(columns[1], local) {
			continue
		}
		n, err := strconv.ParseUint(columns[len(columns)-1], 10, 64)
		if err != nil {
			return 0, fmt.Errorf("/proc/net/udp: %w", err)
		}
		drops += n
	}
	return drops, lines.Err()
}
