package library

import (
	"io"
	"net/http"

	"github.com/pion/webrtc/v4"
)

// Answer answers a WHIP request (RFC 9725) with a connection whose tracks go to onTrack, and calls ended once, when the sender
// has left. It is the smallest server that a test can send to. It has no authentication, trickle ICE or limits.
func Answer(w http.ResponseWriter, r *http.Request, onTrack func(*webrtc.TrackRemote, *webrtc.RTPReceiver), ended func()) error {
	offer, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 64<<10))
	if err != nil {
		return err
	}
	pc, err := webrtc.NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		return err
	}
	pc.OnTrack(onTrack)
	pc.OnConnectionStateChange(func(state webrtc.PeerConnectionState) {
		switch state {
		case webrtc.PeerConnectionStateFailed:
			_ = pc.Close() // the state is closed after it
		case webrtc.PeerConnectionStateClosed:
			ended()
		}
	})
	if err := pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeOffer, SDP: string(offer)}); err != nil {
		return closed(pc, err)
	}
	answer, err := pc.CreateAnswer(nil)
	if err != nil {
		return closed(pc, err)
	}
	gathered := webrtc.GatheringCompletePromise(pc)
	if err := pc.SetLocalDescription(answer); err != nil {
		return closed(pc, err)
	}
	<-gathered
	w.Header().Set("Content-Type", "application/sdp")
	w.Header().Set("Location", r.URL.Path)
	w.WriteHeader(http.StatusCreated)
	_, err = io.WriteString(w, pc.LocalDescription().SDP)
	return err
}

func closed(pc *webrtc.PeerConnection, err error) error {
	_ = pc.Close() // err is the cause
	return err
}
