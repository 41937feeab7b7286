package whip_test

import (
	"strings"
	"testing"

	"github.com/pion/webrtc/v4"
)

// The audio of a sender arrives in forms of offers that used to be refused, or answered so that no audio came.
func TestOddSendersAreHeard(t *testing.T) {
	nothing := func(*webrtc.SettingEngine) {}
	none := func(*webrtc.PeerConnection) error { return nil }
	for name, c := range map[string]struct {
		first  func(*webrtc.PeerConnection) error
		change func(string) string
	}{
		"it waits for the DTLS connection": {none, func(s string) string { return strings.Replace(s, "a=setup:actpass", "a=setup:passive", 1) }},
		"its DTLS role is missing":         {none, func(s string) string { return strings.Replace(s, "a=setup:actpass\r\n", "", 1) }},
		"its direction is missing":         {none, func(s string) string { return strings.Replace(s, "a=sendonly\r\n", "", 1) }},
		"its direction is of the session": {none, func(s string) string {
			return strings.Replace(strings.Replace(s, "a=sendonly\r\n", "", 1), "t=0 0\r\n", "t=0 0\r\na=sendonly\r\n", 1)
		}},
		"its video comes first": {func(pc *webrtc.PeerConnection) error {
			_, err := pc.AddTransceiverFromKind(webrtc.RTPCodecTypeVideo)
			return err
		}, func(s string) string { return s }},
		"its data channel comes first": {func(pc *webrtc.PeerConnection) error {
			_, err := pc.CreateDataChannel("control", nil)
			return err
		}, func(s string) string { return s }},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t, nil)
			s, offer := newSenderWith(t, false, nothing, c.first)
			s.accept(t, h.post(c.change(offer)))
			h.until("media", func() bool { return h.heard("caller") > 5 })
		})
	}
}
