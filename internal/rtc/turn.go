package rtc

import (
	"crypto/hmac"
	"crypto/sha1" //nolint:gosec // the scheme has it
	"encoding/base64"
	"fmt"
	"strings"
	"time"

	"github.com/pion/webrtc/v4"
)

// ICE names STUN and TURN servers, for this side and for the senders.
type ICE struct {
	URLs []string
	// Username and Secret are a name and a password at the TURN servers. Without a name the secret is one that they share
	// with callscreen, and each session gets credentials of its own from it.
	Username, Secret string
}

// credentialsFor is how long credentials are good. A session that has begun outlives them.
const credentialsFor = 12 * time.Hour

// servers are the servers with what they ask for. Credentials made from a shared secret follow the draft "A REST API For
// Access To TURN Services", which coturn and others implement: the name is when it expires, the password its HMAC.
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
