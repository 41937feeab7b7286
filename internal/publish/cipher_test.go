package publish

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/pion/rtp"
)

// srtp encrypts the payloads of RTP packets as AES_CM_128_HMAC_SHA1_80 does, RFC 3711: AES in counter mode, and a tag.
func srtp(t *testing.T, packets [][]byte) (out [][]byte) {
	t.Helper()
	block, err := aes.NewCipher([]byte("0123456789abcdef"))
	if err != nil {
		t.Fatal(err)
	}
	for i, p := range packets {
		iv := make([]byte, aes.BlockSize)
		binary.BigEndian.PutUint32(iv[10:], uint32(i))
		q := append([]byte(nil), p[:12]...)
		b := append(append([]byte(nil), p[12:]...), make([]byte, 10)...)
		cipher.NewCTR(block, iv).XORKeyStream(b, b)
		out = append(out, append(q, b...))
	}
	return out
}

// spoken returns the RTP packets of a recording.
func spoken(t *testing.T, file, codec string, payload uint8) (packets [][]byte) {
	t.Helper()
	m, err := Load(t.Context(), file, codec, -1)
	if err != nil {
		t.Fatal(err)
	}
	for i, media := range m.Packets {
		b, err := (&rtp.Packet{Header: rtp.Header{
			Version:        2,
			PayloadType:    payload,
			SSRC:           1,
			SequenceNumber: uint16(i),
			Timestamp:      160 * uint32(i),
		}, Payload: media.Payload}).Marshal()
		if err != nil {
			t.Fatal(err)
		}
		packets = append(packets, b)
	}
	return packets
}

// SRTP has headers that look right and payloads that decode to noise. It is forwarded as undecodable from half a second on,
// and named. Speech in the clear is never taken for it.
func TestSRTPIsRecognised(t *testing.T) {
	const human, synthetic = "../../testdata/audio/human.wav", "../../testdata/audio/synthetic.wav"
	for _, c := range []struct {
		file, codec, query string
		payload            uint8
	}{
		{human, "pcmu", "", 0},
		{human, "pcma", "", 8},
		{synthetic, "g722", "", 9},
		{synthetic, "pcmu", "", 0},
		{"../../testdata/audio/formats/mono_24k.opus", "", "?codec=opus&payload=111", 111},
	} {
		plain := spoken(t, c.file, c.codec, c.payload)
		for encrypted, packets := range map[bool][][]byte{false: plain, true: srtp(t, plain)} {
			r := newIntake(t, "rtp://127.0.0.1:0"+c.query)
			var out []*rtp.Packet
			for i, b := range packets {
				out = r.take(out, b, janus, at(20*i))
			}
			undecodable := 0
			for _, p := range out {
				if p.PayloadType == notNegotiated {
					undecodable++
				}
			}
			u := r.counts()
			if len(out) != len(packets) || undecodable != int(u.Encrypted) {
				t.Errorf("%s %s: %d of %d packets, %d undecodable, %+v", c.file, c.codec, len(out), len(packets), undecodable, u)
			}
			switch {
			case encrypted && (undecodable < len(packets)-35 || u.Err() == nil || !strings.Contains(u.Err().Error(), "SRTP")):
				t.Errorf("%s %s: %d of %d recognised: %v", c.file, c.codec, undecodable, len(packets), u.Err())
			case !encrypted && (undecodable > 0 || u.Err() != nil):
				t.Errorf("%s %s: %d packets taken for SRTP: %v", c.file, c.codec, undecodable, u.Err())
			}
		}
	}
}

// A re-INVITE may switch encryption on and off, with another SSRC or the same.
func TestSRTPInTheMiddleOfALeg(t *testing.T) {
	plain := spoken(t, "../../testdata/audio/human.wav", "pcmu", 0)[:900]
	secret := srtp(t, plain)
	r := newIntake(t, "rtp://127.0.0.1:0")
	var out []*rtp.Packet
	for i := range plain {
		b := plain[i]
		if i/300 == 1 {
			b = secret[i]
		}
		out = r.take(out, b, janus, at(20*i))
	}
	n := r.counts().Encrypted
	if len(out) != 900 || n < 260 || n > 340 {
		t.Errorf("%d packets, %d encrypted", len(out), n)
	}
}

// Noise of any level is not taken for SRTP.
func TestNoiseIsNotEncrypted(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	for _, level := range []float64{1, 4, 16, 64} {
		var c cipherDetector
		for range 200 {
			b := make([]byte, 160)
			for i := range b { // codes of G.711 have a sign, an exponent and a mantissa
				b[i] = byte(max(-127, min(127, level*random.NormFloat64())))
			}
			if c.add("audio/PCMU", b) {
				t.Fatalf("noise of the level %v", level)
			}
		}
	}
}
