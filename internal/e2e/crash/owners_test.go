package crash_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"strings"
	"time"
)

// upload is a request that carried a recording, from its arrival to its end.
type upload struct {
	node     string // prefix of the node
	sha256   string
	from, to time.Time // to is zero while it lasts
}

// observe answers a request to the API. It notes the uploads of nodes with a prefix.
func (w *world) observe(out http.ResponseWriter, r *http.Request) {
	name, path, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	if !strings.HasPrefix(name, "n") {
		w.answerLate(out, r)
		return
	}
	r.URL.Path = "/" + path
	if r.Method != http.MethodPost {
		w.answerLate(out, r)
		return
	}
	from := time.Now()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // cut off in the middle
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	w.mu.Lock()
	i := len(w.uploads)
	w.uploads = append(w.uploads, upload{node: "/" + name, sha256: recordingOf(r.Header.Get("Content-Type"), body), from: from})
	w.mu.Unlock()
	defer func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.uploads[i].to = time.Now()
	}()
	w.answerLate(out, r)
}

// recordingOf returns the hash of the file in the body of an upload, "" if there is none.
func recordingOf(contentType string, body []byte) string {
	_, params, err := mime.ParseMediaType(contentType)
	if err != nil {
		return ""
	}
	part, err := multipart.NewReader(bytes.NewReader(body), params["boundary"]).NextPart()
	if err != nil {
		return ""
	}
	hash := sha256.New()
	if _, err := io.Copy(hash, part); err != nil {
		return ""
	}
	return hex.EncodeToString(hash.Sum(nil))
}

const (
	// window is the time before a take-over in which heartbeats were absent, with a margin for a busy machine.
	window = 25 * time.Second
	// absent is the least time in the window in which the node could not send heartbeats. Without one for 20 s a node is taken
	// over; the rest is that of a start on a busy machine.
	absent = 12 * time.Second
	// unsaved is the time after a disturbance in which the result of a request may get lost: the longest wait for a connection.
	unsaved = 25 * time.Second
)

// judgeOwners checks that no call and no segment had two owners. It returns the number of take-overs.
func (c *chaos) judgeOwners() (takeOvers int) {
	names := map[string]int{}
	for i, n := range c.nodes {
		names[nodeName(c.t, n)] = i
	}
	for _, n := range c.nodes {
		for _, line := range n.warnings() {
			var l struct {
				Time           time.Time
				Msg, Node, How string
			}
			if json.Unmarshal([]byte(line), &l) != nil {
				continue
			}
			if l.Msg != "node silent, jobs taken over" && (l.Msg != "interrupted call ended" || l.How != "node_lost") {
				continue
			}
			takeOvers++
			if gone := c.goneFor(names[l.Node], l.Time.Add(-window), l.Time); gone < absent {
				c.t.Errorf("%s of node %d, which was away for %v of the %v before: %s\nits log:\n%s",
					l.Msg, names[l.Node], gone, window, line, strings.Join(c.nodes[names[l.Node]].warnings(), "\n"))
			}
		}
	}
	if twice := c.w.count(
		c.nodes[0],
		"SELECT count(*) FROM (SELECT call_id FROM audit WHERE what IN ('segment.scored', 'segment.failed') "+
			"GROUP BY call_id, segment_id HAVING count(*) > 1) x",
	); twice != 0 {
		c.t.Errorf("%d segments were settled twice", twice)
	}
	c.judgeUploads()
	return takeOvers
}

// judgeUploads checks that no segment was uploaded by two nodes at the same time. A node that is stopped cannot end its request.
func (c *chaos) judgeUploads() {
	c.w.mu.Lock()
	defer c.w.mu.Unlock()
	same := map[string][]upload{}
	for _, u := range c.w.uploads {
		if u.to.IsZero() {
			u.to = time.Now()
		}
		for _, v := range same[u.sha256] { // those that arrived before
			if v.node == u.node || !v.to.After(u.from) {
				continue
			}
			if c.disturbed(indexOf(v.node), u.from.Add(-time.Second), u.from, stop) {
				continue
			}
			c.t.Errorf("recording %.8s was uploaded by node %s from %v to %v and by node %s from %v",
				u.sha256, v.node, v.from.Format(time.StampMilli), v.to.Format(time.StampMilli), u.node, u.from.Format(time.StampMilli))
		}
		same[u.sha256] = append(same[u.sha256], u)
	}
	if len(same) == 0 || same[""] != nil {
		c.t.Errorf("%d recordings were seen, %d uploads without one: too few for a meaningful test", len(same), len(same[""]))
	}
}

// judgeDeliveries checks that a webhook is sent twice only if the node that sent it first was disturbed before it could save that.
// It returns the number of repeated requests.
func (c *chaos) judgeDeliveries() (twice int) {
	c.w.inbox.mu.Lock()
	defer c.w.inbox.mu.Unlock()
	last := map[string]arrival{}
	for _, a := range c.w.inbox.got {
		if b, ok := last[a.id]; ok {
			twice++
			if !c.disturbed(indexOf(b.from), b.at.Add(-unsaved), b.at.Add(unsaved), "") {
				c.t.Errorf("message %s came from node %s at %v and from node %s at %v, and the first was not disturbed",
					a.id, b.from, b.at.Format(time.StampMilli), a.from, a.at.Format(time.StampMilli))
			}
		}
		last[a.id] = a
	}
	return twice
}

// indexOf returns the number of the node with a prefix.
func indexOf(prefix string) int { return int(prefix[len(prefix)-1] - '0') }

// goneFor returns how much of a time a node could not renew its lease.
func (c *chaos) goneFor(node int, from, to time.Time) (sum time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	end := from
	for _, p := range c.away { // in the order of their starts
		if p.node != node || p.what == drop {
			continue
		}
		a, b := later(p.from, end), p.to
		if b.IsZero() || b.After(to) {
			b = to
		}
		if b.After(a) {
			sum += b.Sub(a)
			end = b
		}
	}
	return sum
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// disturbed reports whether a node was disturbed at any moment of a time, by one kind of fault if what is not "".
func (c *chaos) disturbed(node int, from, to time.Time, what string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, p := range c.away {
		if p.node == node && (what == "" || p.what == what) && p.from.Before(to) && (p.to.IsZero() || p.to.After(from)) {
			return true
		}
	}
	return false
}
