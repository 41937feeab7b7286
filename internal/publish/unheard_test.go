package publish

import (
	"strings"
	"testing"

	"github.com/pion/rtp"
)

// voice returns a packet whose payload names it.
func voice(t *testing.T, payload uint8, i, id, size int) []byte {
	t.Helper()
	b := datagram(t, payload, 1, i)
	b = append(b[:12], make([]byte, size)...)
	b[12], b[13] = byte(id>>8), byte(id)
	return b
}

// Audio that came and is not forwarded as audio fails the publication, and the server learns of packets that have a place in the
// leg. Each of these used to be dropped, or passed as no audio, with the exit code 0.
func TestAudioIsNotLeftOutQuietly(t *testing.T) {
	for _, c := range []struct {
		name string
		// send returns what comes after the n-th packet of a stream, whose packets it may change.
		send func(n int, packet []byte) [][]byte
		sent int // audio packets that are forwarded of 400
		says string
	}{
		{"nothing but the stream", func(_ int, b []byte) [][]byte { return [][]byte{b} }, 400, ""},
		{"copies", func(_ int, b []byte) [][]byte { return [][]byte{b, b} }, 400, ""},
		{"another packet under each number", func(n int, b []byte) [][]byte {
			return [][]byte{b, voice(t, 0, n, 5000+n, 160)}
		}, 400, "of another stream"},
		{"another packet under each number, a second later", func(n int, b []byte) [][]byte {
			if n < 50 {
				return [][]byte{b}
			}
			return [][]byte{b, voice(t, 0, n-50, 5000+n, 160)}
		}, 400, "of another stream"},
		{"numbers that step back", func(n int, _ []byte) [][]byte {
			return [][]byte{voice(t, 0, n-n/120*60, n, 160)}
		}, 400, ""},
		{"a broken end of the packet", func(n int, b []byte) [][]byte {
			if n >= 200 {
				b[0] |= 0x20 // padding, of 255 bytes
				b[len(b)-1] = 255
			}
			return [][]byte{b}
		}, 200, "whose codec is not known"},
		{"payload type 72 with a marker", func(n int, b []byte) [][]byte {
			if n >= 200 {
				b[1] = 0x80 | 72
			}
			return [][]byte{b}
		}, 200, "payload type 72"},
		{"a voice as comfort noise", func(n int, b []byte) [][]byte {
			if n >= 200 {
				b[1] = 13
			}
			return [][]byte{b}
		}, 200, "payload type 13"},
		{"200 ms in a packet", func(n int, _ []byte) [][]byte { return [][]byte{voice(t, 0, n, n, 1600)} }, 400, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newIntake(t, "rtp://127.0.0.1:0")
			sent := 0
			last := -1
			for n := range 400 {
				for _, b := range c.send(n, voice(t, 0, n, n, 160)) {
					for _, p := range r.take(nil, b, janus, at(20*n)) {
						if int(p.SequenceNumber) <= last {
							t.Fatalf("packet %d has the number %d, after %d", n, p.SequenceNumber, last)
						}
						last = int(p.SequenceNumber)
						if p.PayloadType == 0 && len(p.Payload) > 0 {
							sent++
						}
					}
				}
			}
			err := r.counts().Err()
			if sent != c.sent || (err == nil) != (c.says == "") || err != nil && !strings.Contains(err.Error(), c.says) {
				t.Errorf("%d packets of audio are forwarded, %v: %v", sent, r.counts(), err)
			}
		})
	}
}

// Strays are tolerated by the time of their audio, not by their number alone.
func TestFewLargeStraysAreNotTolerated(t *testing.T) {
	for size, tolerates := range map[int]bool{160: true, 1400: false} {
		r := newIntake(t, "rtp://127.0.0.1:0")
		var out []*rtp.Packet
		for n := range 200 {
			out = r.take(out, voice(t, 0, n, n, 160), janus, at(20*n))
			if n%10 == 0 {
				out = r.take(out, voice(t, 0, n, n, size), stranger, at(20*n))
			}
		}
		if err := r.counts().Err(); len(out) != 200 || (err == nil) != tolerates {
			t.Errorf("%d bytes: %d packets, %v", size, len(out), err)
		}
	}
}

// Comfort noise of either payload type keeps a leg alive.
func TestComfortNoiseKeepsALegAlive(t *testing.T) {
	for _, payload := range []uint8{comfortNoise, comfortNoiseOld} {
		r := newIntake(t, "rtp://127.0.0.1:0")
		for n := range 20 {
			r.take(nil, voice(t, 0, n, n, 160), janus, at(20*n))
		}
		r.take(nil, voice(t, payload, 20, 0, 2)[:13], janus, at(3000))
		if !r.heard.Equal(at(3000)) {
			t.Errorf("payload type %d: heard at %v", payload, r.heard)
		}
	}
}
