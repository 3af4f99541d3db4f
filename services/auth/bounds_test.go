package auth

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"culver/internal/tabline"
)

// Answers that nobody reads are held as requests are.
func TestWhoDoesNotReadIsNotReadFrom(t *testing.T) {
	t.Parallel()
	h := &house{}
	h.Server = frontDesk(h.log)
	var tries atomic.Int64
	judge := h.try
	h.try = func(r Role, a asked) Try {
		tries.Add(1)
		return judge(r, a)
	}
	w := call(t, h.Server, "auth")
	w.greeted(2)
	w.SetWriteDeadline(time.Now().Add(2 * time.Second))
	var err error
	for id := 1; id <= 4*maxOpen && err == nil; id++ {
		_, err = fmt.Fprintf(w, "AUTH\t%d\tPLAIN\tservice=x\tresp=%s\n", id, plain("", "alice", "pw"))
	}
	if n := tries.Load(); err == nil || n > 2*maxOpen {
		t.Errorf("%d logins are judged for a client that does not read (%v), want %d at most", n, err, 2*maxOpen)
	}
	w.Close()
}

// Who has few requests finds room, however many there are of others.
func TestManyOfOneLeaveRoomForOthers(t *testing.T) {
	bubble(t, func(t *testing.T, h *house) {
		h.requests.Add(maxOpenAll)
		defer h.requests.Add(-maxOpenAll)
		w := call(t, h.Server, "auth")
		w.greeted(2)
		for id := range fewOpen {
			w.say(fmt.Sprintf("AUTH\t%d\tPLAIN\tservice=x", id+1))
			w.want(fmt.Sprintf("CONT\t%d\t", id+1))
		}
		w.say("AUTH\t99\tPLAIN\tservice=x")
		w.want("FAIL\t99\tcode=temp_fail\treason=Too many logins at a time, try again later")
		w.Close()
	})
}

// A field costs twenty times the bytes of its line.
func TestForwardedFieldsAreBounded(t *testing.T) {
	t.Parallel()
	if n := len(forwarded(tabline.Escape(strings.Repeat("a=b\t", 5000)))); n > maxForwarded {
		t.Errorf("escaped: got %d fields", n)
	}
	if n := len(forwarded(strings.Repeat("a=b\t", 5000))); n != maxForwarded {
		t.Errorf("got %d fields, want %d", n, maxForwarded)
	}
	if l := forwarded("a=b\tc"); len(l) != 2 || l[0].Key != "forward_a" || l[1].Key != "forward_c" {
		t.Errorf("got %v, want both", l)
	}
}
