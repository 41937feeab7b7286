package publish

import (
	"encoding/binary"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
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

// The source is the address that keeps sending. Stray packets of others, before it and between, do not count, whatever they
// hold, and the source's first packets are not lost.
func TestAStrayPacketIsNoSource(t *testing.T) {
	for name, stray := range map[string][][]byte{
		"garbage":           {[]byte("hello")},
		"telephone event":   {datagram(t, 101, 1, 0)[:16]},
		"empty":             {datagram(t, 8, 1, 0)[:12]},
		"too large":         {append(datagram(t, 8, 1, 0), make([]byte, largestPacket)...)},
		"audio":             {datagram(t, 0, 1, 77)},
		"three":             {datagram(t, 0, 1, 77), datagram(t, 0, 1, 78), datagram(t, 0, 1, 79)},
		"scattered numbers": {datagram(t, 0, 1, 7), datagram(t, 0, 1, 7000), datagram(t, 0, 1, 14000), datagram(t, 0, 1, 21000)},
	} {
		t.Run(name, func(t *testing.T) {
			r := newIntake(t, "rtp://127.0.0.1:0")
			var out []*rtp.Packet
			for _, b := range stray {
				if out = r.take(out, b, stranger, at(0)); len(out) > 0 || r.started() {
					t.Error("it was listened to")
				}
			}
			for i := range 50 {
				out = r.take(out, datagram(t, 8, 2, i), janus, at(20*i))
				if i == 30 {
					out = r.take(out, stray[0], stranger, at(20*i))
				}
				// Another port of the same host may be another call.
				if i == 40 {
					out = r.take(out, datagram(t, 8, 2, i), netip.AddrPortFrom(janus.Addr(), 4002), at(20*i))
				}
			}
			u := r.counts()
			if len(out) != 50 || r.codec.MimeType != "audio/PCMA" || u.Err() != nil || u.Garbage+u.Strangers != int64(len(stray)+2) {
				t.Errorf("%d packets, %+v: %v", len(out), u, u.Err())
			}
			for i, p := range out {
				if int(p.SequenceNumber) != i || p.PayloadType != 8 {
					t.Fatalf("packet %d: %+v", i, p.Header)
				}
			}
		})
	}
}

// Another address takes the place of a source that is silent, with all that it has sent since. While both send, what the
// other one sends is counted, and more than strays are an error.
func TestTheSourceMovesAfterSilence(t *testing.T) {
	r := newIntake(t, "rtp://127.0.0.1:0")
	var out []*rtp.Packet
	for i := range 100 {
		out = r.take(out, datagram(t, 0, 1, i), janus, at(20*i))
	}
	for i := range 20 { // while the source sends
		out = r.take(out, datagram(t, 0, 1, 100+i), janus, at(2000+20*i))
		out = r.take(out, datagram(t, 0, 9, 5000+i), stranger, at(2000+20*i))
	}
	if len(out) != 120 {
		t.Fatalf("%d packets", len(out))
	}
	for i := 20; i < 100; i++ {
		out = r.take(out, datagram(t, 0, 9, 5000+i), stranger, at(2000+20*i))
	}
	if u := r.counts(); len(out) != 201 || u.Strangers != 19 || u.Err() != nil { // one came behind the last of the source
		t.Errorf("%d packets, %+v: %v", len(out), u, u.Err())
	}
	for i, p := range out {
		if int(p.SequenceNumber) != i {
			t.Fatalf("packet %d has the number %d", i, p.SequenceNumber)
		}
	}
	for i := range 8 { // the first one comes back, beside the second
		out = r.take(out, datagram(t, 0, 1, 500+i), janus, at(4000+20*i))
		out = r.take(out, datagram(t, 0, 9, 5100+i), stranger, at(4000+20*i))
	}
	if u := r.counts(); len(out) != 209 || u.Strangers != 27 || u.Err() == nil || !strings.Contains(u.Err().Error(), "from another address") {
		t.Errorf("%d packets, %+v: %v", len(out), u, u.Err())
	}
}

// A leg that is too short to be sure of its source is forwarded when it ends.
func TestAShortLegIsForwarded(t *testing.T) {
	bye := control(t, &rtcp.SenderReport{SSRC: 1}, &rtcp.Goodbye{Sources: []uint32{1}})
	r := newIntake(t, "rtp://127.0.0.1:0")
	r.take(nil, datagram(t, 0, 1, 0), janus, at(0))
	r.take(nil, datagram(t, 0, 9, 0), stranger, at(0))
	if out := r.take(nil, bye, stranger, at(0)); len(out) != 0 {
		t.Error("a stranger ended the leg")
	}
	if out := r.take(nil, bye, janus, at(20)); len(out) != 1 || !r.bye {
		t.Errorf("%d packets, goodbye %v", len(out), r.bye)
	}
	r = newIntake(t, "rtp://127.0.0.1:0")
	r.take(nil, datagram(t, 0, 9, 0), stranger, at(0))
	for i := range 3 {
		r.take(nil, datagram(t, 0, 1, i), janus, at(20*i))
	}
	if out := r.settle(nil); len(out) != 3 || r.counts().Strangers != 1 {
		t.Errorf("%d packets, %+v", len(out), r.counts())
	}
}

// With from=, a foreign host cannot be first, and the host may change its port.
func TestOnlyTheNamedHostIsListenedTo(t *testing.T) {
	r := newIntake(t, "rtp://127.0.0.1:0?from=192.0.2.1")
	var out []*rtp.Packet
	for i := range 40 {
		if more := r.take(nil, datagram(t, 0, 1, i), stranger, at(20*i)); len(more) != 0 {
			t.Error("a stranger was listened to")
		}
		mapped := netip.AddrPortFrom(netip.AddrFrom16(janus.Addr().As16()), 4000+uint16(i/2)) // as a socket for IPv6 has it
		out = r.take(out, datagram(t, 0, 1, i), mapped, at(20*i))
	}
	if u := r.counts(); len(out) != 40 || u.Excluded != 40 || u.Strangers != 0 || u.Err() != nil {
		t.Errorf("%d packets, %+v: %v", len(out), u, u.Err())
	}
}

// A packet without audio keeps its number and loses its payload. One of an unknown codec is forwarded as undecodable.
func TestWhatIsNoAudioLeavesNoHole(t *testing.T) {
	r := newIntake(t, "rtp://127.0.0.1:0")
	var out []*rtp.Packet
	for i, payload := range []uint8{0, 0, 101, 101, 13, 18, 0, 0} {
		b := datagram(t, payload, 1, i)
		if payload == 101 || payload == 13 {
			b = b[:16]
		}
		out = r.take(out, b, janus, at(20*i))
	}
	sizes := []int{160, 160, 0, 0, 0, 160, 160, 160}
	types := []uint8{0, 0, 0, 0, 0, notNegotiated, 0, 0}
	for i, p := range out {
		if int(p.SequenceNumber) != i || len(p.Payload) != sizes[i] || p.Timestamp != 160*uint32(i) || p.PayloadType != types[i] {
			t.Errorf("packet %d: %+v with %d bytes", i, p.Header, len(p.Payload))
		}
	}
	u := r.counts()
	if len(out) != 8 || !maps.Equal(u.Types, map[uint8]int64{101: 2, 13: 1}) || !maps.Equal(u.Undecodable, map[uint8]int64{18: 1}) {
		t.Errorf("%d packets, %+v", len(out), u)
	}
	if got := u.String(); got != "1 of payload type 13, 2 of payload type 101, 1 undecodable of payload type 18" {
		t.Errorf("it says %q", got)
	}
	if u.Err() != nil {
		t.Error(u.Err())
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

// A voice in many small packets of comfort noise is forwarded as undecodable, so that the server counts it.
func TestAVoiceUnderComfortNoiseIsUndecodable(t *testing.T) {
	r := newIntake(t, "rtp://127.0.0.1:0")
	for i := range 50 {
		r.take(nil, datagram(t, 0, 1, i), janus, at(20*i))
	}
	for i := range 1000 {
		b := datagram(t, 13, 1, 50+i)
		r.take(nil, b[:12+largestOther], janus, at(1000+4*i))
	}
	if u := r.counts(); u.Undecodable[13] < 800 || u.Types[13] > 200 || u.Err() == nil {
		t.Errorf("%+v %v", u, u.Err())
	}
}

// The codec may change within the named and the static payload types, in the same stream and in another one, also to
// another clock rate. Every packet is forwarded, with the payload type of the offer, and the numbers continue.
func TestTheCodecMayChange(t *testing.T) {
	for name, ssrc := range map[string]uint32{"same SSRC": 1, "another SSRC": 2} {
		r := newIntake(t, "rtp://127.0.0.1:0?codec=opus&payload=107")
		var out []*rtp.Packet
		n := 0
		for part, payload := range []uint8{0, 8, 107, 9, 107, 0} {
			for range 40 {
				id := uint32(1)
				if part%2 == 1 {
					id = ssrc
				}
				out = r.take(out, datagram(t, payload, id, n), janus, at(20*n))
				n++
			}
		}
		want := []uint8{0, 8, 111, 9, 111, 0}
		for i, p := range out {
			if p.PayloadType != want[i/40] || int(p.SequenceNumber) != i || len(p.Payload) != 160 {
				t.Fatalf("%s: packet %d: %+v", name, i, p.Header)
			}
		}
		if u := r.counts(); len(out) != n || u.Err() != nil || u.String() != "" {
			t.Errorf("%s: %d of %d packets, %s", name, len(out), n, u)
		}
	}
}

// A stream of which nothing can be decoded is forwarded as such, so that the server counts it, and is an error.
func TestAnUnknownCodecIsForwardedAsUndecodable(t *testing.T) {
	r := newIntake(t, "rtp://127.0.0.1:0")
	var out []*rtp.Packet
	for i := range 100 {
		out = r.take(out, datagram(t, 111, 1, i), janus, at(20*i))
	}
	for i, p := range out {
		if p.PayloadType != notNegotiated || len(p.Payload) != 160 || int(p.SequenceNumber) != i {
			t.Fatalf("packet %d: %+v", i, p.Header)
		}
	}
	if u := r.counts(); len(out) != 100 || u.Err() == nil || !strings.Contains(u.Err().Error(), "payload=111") {
		t.Errorf("%d packets, %+v: %v", len(out), u, u.Err())
	}
}

// Timestamps are not judged here: a wobble, half steps, a clock that stands still or goes back change nothing.
func TestTimestampsAreForwardedAsTheyAre(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for name, stamp := range map[string]func(i int) uint32{
		"half steps": func(i int) uint32 { return uint32(480 * i) },
		"wobble":     func(i int) uint32 { return uint32(960*i + random.IntN(15) - 7 + 100) },
		"zero":       func(int) uint32 { return 0 },
		"some zero":  func(i int) uint32 { return uint32(960*i) * min(uint32(i%50), 1) },
		"back":       func(i int) uint32 { return uint32(960*i) - uint32(i/50)*48000*3600 },
	} {
		r := newIntake(t, "rtp://127.0.0.1:0?codec=opus&payload=111")
		var out []*rtp.Packet
		var want []uint32
		for i := range 200 {
			b := datagram(t, 111, 1, i)
			ts := stamp(i)
			binary.BigEndian.PutUint32(b[4:], ts)
			want = append(want, ts)
			out = r.take(out, b, janus, at(20*i))
		}
		var got []uint32
		for _, p := range out {
			got = append(got, p.Timestamp)
		}
		if !slices.Equal(got, want) || r.counts().String() != "" {
			t.Errorf("%s: %d packets, %s", name, len(out), r.counts())
		}
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
	for i := uint16(1); i < lockAfter; i++ {
		p.SequenceNumber = 5 + i
		if b, err = p.Marshal(); err != nil {
			t.Fatal(err)
		}
		out = r.take(out, b, janus, at(0))
	}
	if len(out) != lockAfter {
		t.Fatalf("%d packets", len(out))
	}
	if !out[0].Marker || out[0].SequenceNumber != 5 || out[0].Timestamp != 6 || string(out[0].Payload) != "\x01\x02\x03" ||
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
	for i := range 5 {
		r.take(nil, datagram(t, 0, 1, i), janus, at(0))
	}
	said("a report", control(t, report), janus, false)
	said("of another stream", control(t, report, &rtcp.Goodbye{Sources: []uint32{2}}), janus, false)
	said("of a stranger", control(t, report, &rtcp.Goodbye{Sources: []uint32{1}}), stranger, false)
	said("truncated", control(t, report, &rtcp.Goodbye{Sources: []uint32{1}})[:30], janus, false)
	said("its own", control(t, report, &rtcp.Goodbye{Sources: []uint32{2, 1}}), janus, true)
	if r.take(nil, datagram(t, 0, 1, 5), janus, at(20)); r.bye {
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
			out := r.take(nil, data[2:2+n], from, now)
			data = data[2+n:]
			total++
			sent += int64(len(out))
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
		if got := sent + u.STUN + u.DTLS + u.Garbage + u.Strangers + u.Strays + u.Copies + u.RTCP; got != total {
			t.Fatalf("%d of %d datagrams are accounted for: %+v", got, total, u)
		}
	})
}
