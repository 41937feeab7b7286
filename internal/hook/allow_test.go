package hook_test

import (
	"strings"
	"testing"

	"callscreen/internal/hook"
	"callscreen/internal/outbound"
)

// A message to a forbidden address is not sent, and is retried like a failed one: the list may be wrong.
func TestMessagesGoOnlyWhereTheyMay(t *testing.T) {
	t.Parallel()
	for list, delivered := range map[string]bool{"127.0.0.0/8": true, "10.0.0.0/8": false, "localhost": false} {
		allow, err := outbound.Parse([]string{list})
		if err != nil {
			t.Fatal(err)
		}
		e, r := newEndpoint(t, nil), newRig(t, nil)
		r.run(
			hook.Config{
				Endpoints: []hook.Endpoint{
					{Name: "crm", URL: strings.Replace(e.url, "127.0.0.1", map[bool]string{true: "127.0.0.1", false: "localhost"}[delivered], 1)},
				},
				Allow: allow,
			},
		)
		r.tell("msg_1", "crm")
		d := r.next()
		if got := d.State == "delivered"; got != delivered ||
			!delivered && !strings.Contains(d.LastError, "is not allowed (hint: webhook_allow)") {
			t.Errorf("%s: %+v", list, d)
		}
		r.stop()
		if len(e.got) > 0 != delivered {
			t.Errorf("%s: %d requests", list, len(e.got))
		}
	}
}
