package publish

import (
	"slices"
	"testing"
)

func TestServersThatAreNamed(t *testing.T) {
	list, err := iceServers([]string{
		`<stun:a.example.com>; rel="ice-server", <https://example.com/a,b>; rel=help`,
		`<turn:b.example.com?transport=udp>; rel="ice-server"; username="1700043200:me"; ` +
			`credential="a \"secret\", or <two>"; credential-type="password"`,
		`<turns:c.example.com>;rel=ice-server;username=u;credential="x,y",<stun:d.example.com>;rel="ice-server"`,
		`nonsense; "`, `<unfinished`, ``, `<stun:e.example.com>`,
	})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, s := range list {
		password, _ := s.Credential.(string)
		got = append(got, s.URLs[0]+" "+s.Username+" "+password)
	}
	want := []string{
		"stun:a.example.com  ",
		`turn:b.example.com?transport=udp 1700043200:me a "secret", or <two>`,
		"turns:c.example.com u x,y",
		"stun:d.example.com  ",
	}
	if !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	if _, err := iceServers([]string{`<turn:b.example.com>; rel="ice-server"`}); err == nil {
		t.Error("a TURN server without credentials is of no use, and nobody says so")
	}
}
