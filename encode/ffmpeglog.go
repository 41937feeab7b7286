package encode

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"sync"
)

// boundedLog parses the log of ffmpeg (-loglevel level+verbose) line by line. It keeps the last error, counts damage, and
// reads the statistics that ffmpeg prints at the end.
type boundedLog struct {
	mu      sync.Mutex
	line    []byte // the incomplete line
	error   string
	seen    Damage
	streams []streamUse
	audio   int // audio streams that the log lists for the input
	output  bool
	decoder bool // the last line was an error of a decoder
	layout  int  // channels of the first frames
	wider   int  // the most channels of a frame
}

func newBoundedLog() *boundedLog { return &boundedLog{} }

// streamUse is the use that ffmpeg made of an input stream.
type streamUse struct {
	index                           int // among all streams of the input
	packets, bytes, frames, samples int64
	decoded                         bool
}

// maxStreams bounds the streams of a file whose packets are counted.
const maxStreams = 256

func (l *boundedLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	const most = 1 << 10
	for _, v := range p {
		switch {
		case v == '\n':
			l.end(string(l.line))
			l.line = l.line[:0]
		case len(l.line) < most:
			l.line = append(l.line, v)
		}
	}
	return len(p), nil
}

// end parses a complete line: "[module @ address] [level] message".
func (l *boundedLog) end(line string) {
	if strings.Contains(line, "exceeds specified max pixel count") {
		return // a picture that is not decoded, which is no damage of the sound
	}
	for _, level := range []string{"[error] ", "[fatal] ", "[panic] "} {
		if _, message, ok := strings.Cut(line, level); ok {
			if l.error = strings.TrimSpace(message); l.decoder && ofPacket(message) {
				l.decoder = false // the decoder itself has said so
				return
			}
			l.decoder = !ofPacket(message)
			l.seen.Events++
			return
		}
	}
	l.decoder = false
	if _, count, ok := strings.Cut(line, "[verbose] adding "); ok {
		var n int64
		if _, err := fmt.Sscanf(count, "%d audio samples of silence", &n); err == nil && n > 0 {
			l.seen.Events++
			l.seen.Lost += n
		}
		return
	}
	if _, use, ok := strings.Cut(line, "Input stream #0:"); ok {
		if u, ok := parseUse(use); ok && len(l.streams) < maxStreams {
			l.streams = append(l.streams, u)
		}
		return
	}
	if _, layout, ok := strings.Cut(line, " chlayout:"); ok {
		n := layoutChannels(layout)
		l.wider = max(l.wider, n)
		if l.layout == 0 {
			l.layout = n
		}
		return
	}
	switch {
	case strings.Contains(line, "Output #0"):
		l.output = true
	case !l.output && strings.Contains(line, "Stream #0:") && strings.Contains(line, ": Audio:"):
		l.audio++
	}
}

// useOf matches the statistics of a stream, which have the number of errors from ffmpeg 6 on.
var useOf = regexp.MustCompile(`^(\d+) \(\w+\): (\d+) packets read \((\d+) bytes\);` +
	`(?: (\d+) frames decoded;?(?: \d+ decode errors)?(?: \((\d+) samples\))?)?`)

// parseUse reads "0 (audio): 73 packets read (29588 bytes); 72 frames decoded (73728 samples);".
func parseUse(text string) (u streamUse, ok bool) {
	m := useOf.FindStringSubmatch(text)
	if m == nil {
		return u, false
	}
	u.index, _ = strconv.Atoi(m[1])
	for i, to := range []*int64{&u.packets, &u.bytes, &u.frames, &u.samples} {
		*to, _ = strconv.ParseInt(m[i+2], 10, 64) // empty for a stream that is not decoded
	}
	u.decoded = m[4] != ""
	return u, true
}

// ofPacket reports whether a message is that of the program about a packet that its decoder refused.
func ofPacket(message string) bool {
	return strings.HasPrefix(message, "Error while decoding") || strings.HasPrefix(message, "Error submitting packet") ||
		strings.HasPrefix(message, "Decoding error")
}

// layoutChannels returns the number of channels of a layout such as "stereo", "5.1(side)" or "3 channels".
func layoutChannels(layout string) int {
	switch layout = strings.TrimSpace(layout); layout {
	case "mono":
		return 1
	case "stereo", "downmix":
		return 2
	case "quad":
		return 4
	}
	var a, b int
	if n, _ := fmt.Sscanf(layout, "%d.%d", &a, &b); n == 0 {
		return 0
	}
	return a + b
}

// widened reports whether the number of channels grew within the stream. Two channels of a mono stream are read if folded is
// true.
func (l *boundedLog) widened(folded bool) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.wider > l.layout && (!folded || l.wider > 2)
}

func (l *boundedLog) damage() Damage {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.seen
}

// used returns the statistics of the audio stream that was decoded. They are there once the program has ended.
func (l *boundedLog) used() (streamUse, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, u := range l.streams {
		if u.decoded {
			return u, true
		}
	}
	return streamUse{}, false
}

// copied returns the bytes of the packets of a stream.
func (l *boundedLog) copied(index int) int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, u := range l.streams {
		if u.index == index {
			return u.bytes
		}
	}
	return 0
}

// audioStreams returns the number of audio streams that the log lists.
func (l *boundedLog) audioStreams() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.audio
}

// last returns the last error.
func (l *boundedLog) last() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.error
}
