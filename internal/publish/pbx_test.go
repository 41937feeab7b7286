package publish_test

import (
	"net"
	"testing"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"

	"callscreen/internal/publish"
)

// pbx sends plain RTP.
type pbx struct {
	t       *testing.T
	conn    *net.UDPConn // not connected, so that it gets no ICMP errors of a closed port
	to      *net.UDPAddr
	payload uint8
	ssrc    uint32
}

func newPBX(t *testing.T, to net.Addr, payload uint8) *pbx {
	t.Helper()
	addr, ok := to.(*net.UDPAddr)
	if !ok {
		t.Fatalf("%v is no UDP address", to)
	}
	conn, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return &pbx{
		t:       t,
		conn:    conn,
		to:      addr,
		payload: payload,
		ssrc:    0xcafe,
	}
}

func (p *pbx) raw(b []byte) {
	p.t.Helper()
	if _, err := p.conn.WriteTo(b, p.to); err != nil {
		p.t.Error(err)
	}
}

func (p *pbx) send(packet rtp.Packet) {
	p.t.Helper()
	packet.Version = 2
	b, err := packet.Marshal()
	if err != nil {
		p.t.Fatal(err)
	}
	p.raw(b)
}

// bye sends a BYE behind a report, as RFC 3550 requires.
func (p *pbx) bye() {
	p.t.Helper()
	b, err := rtcp.Marshal([]rtcp.Packet{&rtcp.SenderReport{SSRC: p.ssrc}, &rtcp.Goodbye{Sources: []uint32{p.ssrc}}})
	if err != nil {
		p.t.Fatal(err)
	}
	p.raw(b)
}

// play sends a recording in real time. change may modify a packet; if it returns false, play does not send the packet.
func (p *pbx) play(m *publish.Media, change func(i int, packet *rtp.Packet) bool) {
	p.t.Helper()
	start, ts := time.Now(), uint32(1<<32-40000)
	for i, media := range m.Packets {
		due := start.Add(time.Duration(float64(ts+40000) / float64(m.Codec.ClockRate) * float64(time.Second)))
		time.Sleep(time.Until(due))
		packet := rtp.Packet{Header: rtp.Header{
			PayloadType:    p.payload,
			SSRC:           p.ssrc,
			SequenceNumber: uint16(65500 + i),
			Timestamp:      ts,
			Marker:         i == 0,
		}, Payload: media.Payload}
		if change == nil || change(i, &packet) {
			p.send(packet)
		}
		ts += media.Ticks
	}
}
