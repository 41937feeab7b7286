package whip_test

import (
	"net/http"
	"testing"

	"callscreen/internal/whip"
)

// A token for one call or leg is refused for other calls and legs, and for their sessions.
func TestTokensForACallAndALeg(t *testing.T) {
	h := newHouse(t, nil)
	for _, c := range []struct {
		path, token string
		want        int
	}{
		{"/whip/c1/caller", "this", 201}, {"/whip/c1/agent", "this", 403}, {"/whip/c2/caller", "this", 403},
		{"/whip/c1/caller?channels=caller,agent", "this", 403}, // the track also becomes another leg
		{"/whip/c2/caller", "that", 201}, {"/whip/c2/both?channels=caller,agent", "that", 201}, {"/whip/c1/caller", "that", 403},
		{"/whip/c1/caller", "good", 201},
	} {
		_, sdp := newSender(t, false)
		if a := h.ask(http.MethodPost, c.path, sdp, "Content-Type", "application/sdp", "Authorization", "Bearer "+c.token); a.status != c.want {
			t.Errorf("%s with %q: HTTP %d %s, want %d", c.path, c.token, a.status, a.body, c.want)
		}
	}
	_, sdp := newSender(t, false)
	session := h.ask(
		http.MethodPost,
		"/whip/c1/caller",
		sdp,
		"Content-Type",
		"application/sdp",
		"Authorization",
		"Bearer this",
	).header.Get(
		"Location",
	)
	for _, method := range []string{http.MethodPatch, http.MethodDelete} {
		if a := h.ask(method, session, "", "Authorization", "Bearer that"); a.status != 403 {
			t.Errorf("%s with a token for another call: HTTP %d", method, a.status)
		}
		if a := h.ask(method, session, "", "Authorization", "Bearer other"); a.status != 404 {
			t.Errorf("%s with the token of another sender: HTTP %d", method, a.status)
		}
	}
	if a := h.ask(http.MethodDelete, session, "", "Authorization", "Bearer this"); a.status != 200 {
		t.Errorf("DELETE with the token of the session: HTTP %d", a.status)
	}
}

// A token for one leg has two sessions that do not connect, however many it opens, and takes none of those of others.
func TestATokenForALegHasFewSessions(t *testing.T) {
	h := newHouse(t, func(c *whip.Config) { c.MaxSessions = 20 })
	for i := range 50 {
		_, sdp := newSender(t, false)
		if a := h.ask(
			http.MethodPost, "/whip/c1/caller", sdp, "Content-Type", "application/sdp", "Authorization", "Bearer this",
		); a.status != 201 {
			t.Fatalf("session %d: HTTP %d %s", i, a.status, a.body)
		}
	}
	h.until("the oldest have ended", func() bool { return h.server.Stats().Open == 2 })
	sender, offer := newSender(t, false)
	sender.accept(t, h.post(offer))
}

// Sessions that do not connect are a share of all sessions for each address. One that connects gives its share back.
func TestAnAddressHasFewSessionsThatDoNotConnect(t *testing.T) {
	h := newHouse(t, func(c *whip.Config) { c.MaxSessions = 100 })
	sender, offer := newSender(t, false)
	sender.accept(t, h.post(offer))
	h.until("media", func() bool { return h.heard("caller") > 5 })
	opened := 0
	for range 30 {
		_, sdp := newSender(t, false)
		switch a := h.post(sdp); a.status {
		case 201:
			opened++
		case 503:
		default:
			t.Errorf("HTTP %d %s", a.status, a.body)
		}
	}
	if opened != 100/8 {
		t.Errorf("%d sessions of 30 were opened", opened)
	}
}
