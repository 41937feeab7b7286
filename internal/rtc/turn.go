package rtc

import (
	"crypto/hmac"
	"crypto/sha1" //nolint:gosec // required by the TURN REST scheme
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/pion/webrtc/v4"
)

// ICE lists STUN and TURN servers, for this side and for the senders.
type ICE struct {
	URLs []string
	// Username and Secret are user name and password at the TURN servers. Without a user name the secret is the shared
	// secret of the TURN servers, and each session gets its own credentials.
	Username, Secret string
}

// relays reports whether there is a TURN server.
func (i ICE) relays() bool {
	return slices.ContainsFunc(i.URLs, func(u string) bool { return strings.HasPrefix(u, "turn") })
}

// credentialsFor is the lifetime of temporary credentials. An established session outlives them.
const credentialsFor = 12 * time.Hour

// servers returns the servers with credentials. Temporary credentials follow the draft "A REST API For Access To TURN
// Services", which coturn and others implement: the user name is the expiry time, the password its HMAC.
func (i ICE) servers(now time.Time) (list []webrtc.ICEServer) {
	username, password := i.Username, i.Secret
	if username == "" && i.Secret != "" {
		username = fmt.Sprintf("%d:callscreen", now.Add(credentialsFor).Unix())
		mac := hmac.New(sha1.New, []byte(i.Secret))
		mac.Write([]byte(username))
		password = base64.StdEncoding.EncodeToString(mac.Sum(nil))
	}
	for _, u := range i.URLs {
		s := webrtc.ICEServer{URLs: []string{u}}
		if strings.HasPrefix(u, "turn") {
			s.Username, s.Credential = username, password
		}
		list = append(list, s)
	}
	return list
}
