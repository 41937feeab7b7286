package rtc

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"
	"strings"
)

// Drops returns the number of packets that the kernel dropped because the receive buffers of the media sockets were
// full.
func (e *Engine) Drops() (uint64, error) {
	var sum uint64
	for _, table := range []string{"/proc/net/udp", "/proc/net/udp6"} {
		f, err := os.Open(table)
		if table == "/proc/net/udp6" && errors.Is(err, fs.ErrNotExist) { // a kernel without IPv6
			return sum, nil
		}
		if err != nil {
			return 0, err
		}
		n, err := socketDrops(f, e.port)
		if err = errors.Join(err, f.Close()); err != nil {
			return 0, fmt.Errorf("%s: %w", table, err)
		}
		sum += n
	}
	return sum, nil
}

// socketDrops sums the last column of /proc/net/udp or udp6, proc(5), over the sockets of a local port.
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
			return 0, err
		}
		drops += n
	}
	return drops, lines.Err()
}
