package publish

import (
	"maps"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"

	"callscreen/internal/testkit"
)

var (
	janus    = netip.MustParseAddrPort("192.0.2.1:4000")
	stranger = netip.MustParseAddrPort("192.0.2.2:4000")
)

// datagram returns an RTP packet of 20 ms.
func datagram(t testing.TB, payload uint8, ssrc uint32, i int) []byte {
	t.Helper()
	p := rtp.Packet{Header: rtp.Header{
		Version:        2,
		PayloadType:    payload,
		SSRC:           ssrc,
		SequenceNumber: uint16(i),
		Timestamp:      160 * uint32(i),
	}, Payload: make([]byte, 160)}
	b, err := p.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func control(t *testing.T, packets ...rtcp.Packet) []byte {
	t.Helper()
	b, err := rtcp.Marshal(packets)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func newIntake(t *testing.T, address string) *rtpIntake {
	t.Helper()
	src, err := ParseRTP(address)
	if err != nil {
		t.Fatal(err)
	}
	from, err := src.senders(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return &rtpIntake{formats: src.Formats, from: from}
}

// The first sender of audio is accepted, and no other: an earlier sender of other data does not count.
func TestTheFirstSourceIsTheOnlyOne(t *testing.T) {
	r := newIntake(t, "rtp://127.0.0.1:0")
	if out := r.take(nil, []byte("hello"), stranger, at(0)); len(out) != 0 || r.source.IsValid() {
		t.Error("garbage was listened to")
	}
	if out := r.take(nil, datagram(t, 101, 1, 0), stranger, at(0)); len(out) != 0 || r.source.IsValid() {
		t.Error("a telephone event was listened to")
	}
	if out := r.take(nil, datagram(t, 8, 1, 0)[:12], stranger, at(0)); len(out) != 0 || r.source.IsValid() {
		t.Error("an empty packet was listened to")
	}
	if out := r.take(nil, append(datagram(t, 8, 1, 0), make([]byte, largestPacket)...), stranger, at(0)); len(out) != 0 || r.source.IsValid() {
		t.Error("a packet that fits no frame was listened to")
	}
	for i := range 5 {
		if out := r.take(nil, datagram(t, 8, 2, i), janus, at(20*i)); len(out) != 1 {
			t.Errorf("packet %d: %v", i, out)
		}
		if out := r.take(nil, datagram(t, 8, 2, i), stranger, at(20*i)); len(out) != 0 {
			t.Errorf("packet %d of a stranger: %v", i, out)
		}
		// Another port of the same host is rejected too: it may be another call.
		if out := r.take(nil, datagram(t, 8, 2, i), netip.AddrPortFrom(janus.Addr(), 4002), at(20*i)); len(out) != 0 {
			t.Errorf("packet %d of another port: %v", i, out)
		}
	}
	u := r.counts()
	if r.codec.MimeType != "audio/PCMA" || u.Garbage != 2 || u.Strangers != 10 || u.Types[101] != 1 || u.Types[8] != 1 {
		t.Errorf("%v: %+v", r.codec, u)
	}
}

// With from=, a foreign host cannot be first, and the host may change its port.
func TestOnlyTheNamedHostIsListenedTo(t *testing.T) {
	r := newIntake(t, "rtp://127.0.0.1:0?from=192.0.2.1")
	for i := range 4 {
		if out := r.take(nil, datagram(t, 0, 1, i), stranger, at(20*i)); len(out) != 0 {
			t.Error("a stranger was listened to")
		}
		mapped := netip.AddrPortFrom(netip.AddrFrom16(janus.Addr().As16()), 4000+uint16(i/2)) // as a socket for IPv6 has it
		if out := r.take(nil, datagram(t, 0, 1, i), mapped, at(20*i)); len(out) != 1 {
			t.Errorf("packet %d: %v", i, out)
		}
	}
	if u := r.counts(); u.Strangers != 4 {
		t.Errorf("%+v", u)
	}
}

// A packet without audio of the codec keeps its number and loses its payload.
func TestWhatIsNoAudioLeavesNoHole(t *testing.T) {
	r := newIntake(t, "rtp://127.0.0.1:0")
	var out []*rtp.Packet
	for i, payload := range []uint8{0, 0, 101, 101, 13, 8, 0} {
		out = r.take(out, datagram(t, payload, 1, i), janus, at(20*i))
	}
	sizes := []int{160, 160, 0, 0, 0, 0, 160}
	for i, p := range out {
		if int(p.SequenceNumber) != i || len(p.Payload) != sizes[i] || p.Timestamp != 160*uint32(i) {
			t.Errorf("packet %d: %v with %d bytes", i, p.Header, len(p.Payload))
		}
	}
	u := r.counts()
	if len(out) != 7 || !maps.Equal(u.Types, map[uint8]int64{101: 2, 13: 1, 8: 1}) {
		t.Errorf("%d packets, %+v", len(out), u)
	}
	if got := u.String(); got != "1 of payload type 8, 1 of payload type 13, 2 of payload type 101" {
		t.Errorf("it says %q", got)
	}
	// Another stream, such as video, takes over nothing.
	for i := range 10 {
		if more := r.take(nil, datagram(t, 96, 5, 900+i), janus, at(200+20*i)); len(more) != 0 {
			t.Errorf("%v", more)
		}
	}
	if u := r.counts(); u.Strays != 10 {
		t.Errorf("%+v", u)
	}
}

// Header extensions, contributing sources and padding are removed.
func TestPacketsAreStripped(t *testing.T) {
	r := newIntake(t, "rtp://127.0.0.1:0?codec=opus&payload=96")
	p := rtp.Packet{Header: rtp.Header{
		Version:        2,
		Marker:         true,
		PayloadType:    96,
		SequenceNumber: 5,
		Timestamp:      6,
		SSRC:           7,
		CSRC:           []uint32{8, 9},
		Padding:        true,
		PaddingSize:    4,
	}, Payload: []byte{1, 2, 3}}
	if err := p.SetExtension(1, []byte{42}); err != nil {
		t.Fatal(err)
	}
	b, err := p.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	out := r.take(nil, b, janus, at(0))
	clear(b)
	if len(out) != 1 || !out[0].Marker || out[0].SequenceNumber != 5 || out[0].Timestamp != 6 || string(out[0].Payload) != "\x01\x02\x03" ||
		out[0].Extension || out[0].Padding || len(out[0].CSRC) > 0 {
		t.Errorf("%+v", out)
	}
}

// A BYE counts for the forwarded stream, until another packet of it arrives.
func TestGoodbye(t *testing.T) {
	r := newIntake(t, "rtp://127.0.0.1:0")
	report := &rtcp.SenderReport{SSRC: 1}
	said := func(what string, b []byte, from netip.AddrPort, want bool) {
		t.Helper()
		if out := r.take(nil, b, from, at(0)); len(out) != 0 || r.bye != want {
			t.Errorf("%s: %v, goodbye %v", what, out, r.bye)
		}
	}
	said("before all", control(t, report, &rtcp.Goodbye{Sources: []uint32{0, 1}}), janus, false)
	r.take(nil, datagram(t, 0, 1, 1), janus, at(0))
	said("a report", control(t, report), janus, false)
	said("of another stream", control(t, report, &rtcp.Goodbye{Sources: []uint32{2}}), janus, false)
	said("of a stranger", control(t, report, &rtcp.Goodbye{Sources: []uint32{1}}), stranger, false)
	said("truncated", control(t, report, &rtcp.Goodbye{Sources: []uint32{1}})[:30], janus, false)
	said("its own", control(t, report, &rtcp.Goodbye{Sources: []uint32{2, 1}}), janus, true)
	if r.take(nil, datagram(t, 0, 1, 2), janus, at(20)); r.bye {
		t.Error("it went on, and counts as gone")
	}
}

func TestAddressesOfRTP(t *testing.T) {
	for address, want := range map[string]string{
		"rtp://127.0.0.1:5004": "",
		"rtp://[::1]:5004/":    "",
		"rtp://0.0.0.0:0?from=sbc.example.com&idle=1m&wait=5s": "",
		"rtp://127.0.0.1:5004?codec=opus":                      "",
		"rtp://127.0.0.1:5004?codec=opus&payload=96":           "",
		"rtp://127.0.0.1:5004?codec=pcmu&payload=0":            "",
		"rtp://127.0.0.1":                             "has no valid HOST:PORT",
		"rtp://:5004":                                 "has no valid HOST:PORT",
		"rtp://127.0.0.1:70000":                       "has no valid HOST:PORT",
		"rtp://127.0.0.1:x":                           "is not an RTP address",
		"rtp://127.0.0.1:5004/path":                   "is not an RTP address",
		"rtp://user@127.0.0.1:5004":                   "is not an RTP address",
		"rtp://127.0.0.1:5004?codec=g729":             `unknown codec "g729"`,
		"rtp://127.0.0.1:5004?payload=111":            "needs codec=",
		"rtp://127.0.0.1:5004?codec=opus&payload=128": "is not an audio payload type",
		"rtp://127.0.0.1:5004?codec=opus&payload=72":  "is not an audio payload type",
		"rtp://127.0.0.1:5004?codec=opus&payload=13":  "is not an audio payload type",
		"rtp://127.0.0.1:5004?codec=":                 "must have one value",
		"rtp://127.0.0.1:5004?codec=opus&codec=pcmu":  "must have one value",
		"rtp://127.0.0.1:5004?idle=10":                "is not a duration",
		"rtp://127.0.0.1:5004?wait=-1s":               "is not a duration",
		"rtp://127.0.0.1:5004?ssrc=7":                 "takes no ssrc=",
		"rtp://127.0.0.1:5004?a;b":                    "quote the address",
	} {
		src, err := ParseRTP(address)
		switch {
		case want == "" && err != nil:
			t.Errorf("%s: %v", address, err)
		case want == "" && (len(src.Formats) == 0 || src.Idle <= 0 || src.Wait <= 0):
			t.Errorf("%s: %+v", address, src)
		case want != "" && (err == nil || !strings.Contains(
			err.Error(),
			want,
		) || !strings.Contains(err.Error(), "hint: ") && !strings.Contains(want, "one value")):
			t.Errorf("%s: %v, want %q and a hint", address, err, want)
		}
	}
}

// Invariant: every datagram is counted once, forwarded packets are valid, and their numbers never jump further than
// those of one stream can.
func FuzzDatagrams(f *testing.F) {
	f.Add([]byte("no RTP at all"))
	var run []byte
	for i := range 6 {
		b := datagram(f, 0, uint32(1+i/3), 30000*(i/3)+i)[:20]
		run = append(append(run, byte(i%2), byte(len(b))), b...)
	}
	f.Add(run)
	f.Add(append(run, 0, 8, 0x80, 203, 0, 1, 0, 0, 0, 1))
	f.Fuzz(func(t *testing.T, data []byte) {
		defer testkit.Bounded(t)()
		r := rtpIntake{formats: newIntake(t, "rtp://127.0.0.1:0").formats}
		now := at(0)
		var total, sent int64
		var last *rtp.Packet
		for len(data) >= 2 {
			from, step, n := stranger, time.Duration(data[0]>>1)*time.Millisecond, min(int(data[1]), len(data)-2)
			if data[0]&1 == 0 {
				from = janus
			}
			now = now.Add(step)
			silenced := skipped(&r)
			out := r.take(nil, data[2:2+n], from, now)
			data = data[2+n:]
			total++
			if skipped(&r) == silenced { // else it was counted there
				sent += int64(len(out))
			}
			for _, p := range out {
				if b, err := p.Marshal(); err != nil || len(b) > largestPacket {
					t.Fatalf("%v cannot be sent: %v", p, err)
				}
				if last != nil {
					if d := int16(p.SequenceNumber - last.SequenceNumber); d > maxDropout+maxMisorder || d < -maxDropout-maxMisorder {
						t.Fatalf("%d follows %d", p.SequenceNumber, last.SequenceNumber)
					}
				}
				last = p
			}
		}
		u := r.counts()
		if got := sent + skipped(&r) + u.Garbage + u.Strangers + u.Strays + u.RTCP; got != total {
			t.Fatalf("%d of %d datagrams are accounted for: %+v", got, total, u)
		}
	})
}

func skipped(r *rtpIntake) (n int64) {
	for _, of := range r.unsent.Types {
		n += of
	}
	return n
}
