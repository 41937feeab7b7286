package publish_test

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"callscreen/internal/demo"
	"callscreen/internal/publish"
)

// The token of a sender does not follow a redirect to another server.
func TestTheTokenOfASenderStaysAtItsOrigin(t *testing.T) {
	var asked atomic.Int64
	stranger := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked.Add(1) }))
	defer stranger.Close()
	server := httptest.NewServer(http.RedirectHandler(stranger.URL+"/whip/c/XYZZY", http.StatusTemporaryRedirect))
	defer server.Close()
	media, err := publish.Opus(bytes.NewReader(demo.Human))
	if err != nil {
		t.Fatal(err)
	}
	sum, err := publish.Run(t.Context(), media, &publish.Options{To: server.URL + "/whip/c/l", Token: "geheim"})
	if err != nil {
		t.Fatal(err)
	}
	if err := sum.Err(); err == nil || !strings.Contains(err.Error(), "another origin") || strings.Contains(err.Error(), "XYZZY") {
		t.Errorf("error is %v", err)
	}
	if n := asked.Load(); n > 0 {
		t.Errorf("the other server was asked %d times", n)
	}
}
