package handoff

import (
	"reflect"
	"strings"
	"testing"
)

func TestMessagesComeBackAsTheyWere(t *testing.T) {
	t.Parallel()
	for _, m := range []Message{
		{Kind: KindStatus, Available: 1, Served: 2},
		{Kind: KindRequest, ID: 7, Service: "doveadm-worker", User: "ann", Ticket: strings.Repeat("f", MaxTicket)},
		{Kind: KindRequest, ID: 7, Service: "lmtp-deliver", User: "ann"},
		{Kind: KindCancel, ID: 7},
		{Kind: KindAbandon, ID: 7},
		{Kind: KindAccess, Text: "grant"},
		{Kind: KindAnswer, ID: 7, Code: CodeLimit, Setting: "process_limit", Text: "no"},
		{Kind: KindLogSource, ID: 7, Service: "lmtp", User: "ann"},
		{Kind: KindDrain},
	} {
		got, err := Parse(m.Append(nil))
		if err != nil || !reflect.DeepEqual(got, m) {
			t.Errorf("got %+v, %v, want %+v", got, err, m)
		}
	}
}

func TestMessagesBeyondTheirLimitsAreRefused(t *testing.T) {
	t.Parallel()
	for name, m := range map[string]Message{
		"a ticket too long":  {Kind: KindRequest, Service: "s", User: "u", Ticket: strings.Repeat("f", MaxTicket+1)},
		"a user too long":    {Kind: KindRequest, Service: "s", User: strings.Repeat("u", MaxUser+1)},
		"a service too long": {Kind: KindRequest, Service: strings.Repeat("s", MaxService+1)},
	} {
		if got, err := Parse(m.Append(nil)); err == nil {
			t.Errorf("%s: got %+v", name, got)
		}
	}
	whole := (&Message{Kind: KindRequest, ID: 1, Service: "s", User: "u", Ticket: "t"}).Append(nil)
	for n := range len(whole) {
		if got, err := Parse(whole[:n]); err == nil {
			t.Errorf("%d bytes of %d: got %+v", n, len(whole), got)
		}
	}
	if _, err := Parse(append(whole, 0)); err == nil {
		t.Error("a byte too many was taken")
	}
}
