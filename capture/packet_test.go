package capture

import (
	"bytes"
	"testing"

	"github.com/pion/rtp"
)

// parsePacket reads what pion/rtp writes, with CSRC list, extension and padding.
func TestParsePacket(t *testing.T) {
	for mask := range 8 {
		p := rtp.Packet{Header: rtp.Header{
			Version:        2,
			Marker:         true,
			PayloadType:    111,
			SequenceNumber: 65535,
			Timestamp:      1 << 31,
			SSRC:           0xdeadbeef,
		}, Payload: []byte("payload")}
		if mask&1 != 0 {
			p.CSRC = []uint32{1, 2, 3}
		}
		if mask&2 != 0 {
			if err := p.SetExtension(3, []byte{1, 2, 3, 4, 5}); err != nil {
				t.Fatal(err)
			}
		}
		if mask&4 != 0 {
			p.Padding, p.PaddingSize = true, 9
		}
		b, err := p.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		got, ok := parsePacket(b)
		if !ok || got.broken || got.payloadType != 111 || got.seq != 65535 || got.ts != 1<<31 || got.ssrc != 0xdeadbeef ||
			!bytes.Equal(got.payload, p.Payload) {
			t.Errorf("%03b: %+v, %v", mask, got, ok)
		}
		for n := range b {
			if got, ok := parsePacket(b[:n]); ok != (n >= 12) {
				t.Errorf("%03b: %d of %d bytes: %+v, %v", mask, n, len(b), got, ok)
			}
		}
	}
}

// The payload is a part of the datagram, whatever the datagram holds.
func FuzzParsePacket(f *testing.F) {
	f.Add([]byte{0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3})
	f.Add([]byte{0xbf, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 255})
	f.Fuzz(func(t *testing.T, b []byte) {
		p, ok := parsePacket(b)
		if len(p.payload) > max(0, len(b)-12) || !ok && p.payload != nil || p.broken && p.payload != nil {
			t.Errorf("%+v, %v", p, ok)
		}
	})
}
