package cache

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"culver/services/auth/vars"
)

// TestNoAnswerThatTheSourceWouldNotHaveGiven changes users, passwords and the
// source's health at random and asks from several places. Whatever the cache
// answers, the source itself would have answered within the time that is allowed
// for it, to the same question of the same user.
func TestNoAnswerThatTheSourceWouldNotHaveGiven(t *testing.T) {
	t.Parallel()
	names := []string{"ann@x", "ann@y", "bob@x"}
	values := []string{"1", "2", "3"}
	places := []string{"::1", "::2"}
	rapid.Check(t, func(t *rapid.T) {
		h := newHouse("%n", "%{rip}")
		h.says = map[string]string{}
		h.uses = func(v *vars.Values) string { return " of " + v.User + " at " + v.RemoteIP }
		// truth is what the source would have said since when; "" is unknown.
		type fact struct {
			since time.Time
			value string
		}
		truth := map[string][]fact{}
		for _, n := range names {
			truth[n] = []fact{{since: h.now.Add(-time.Hour)}}
		}
		within := func(name, place, got string, longest time.Duration) bool {
			facts := truth[name]
			for i, f := range facts {
				ended := i+1 < len(facts) && facts[i+1].since.Before(h.now.Add(-longest))
				want := "unknown"
				if f.value != "" {
					want = f.value + " of " + name + " at " + place
				}
				if !ended && got == want {
					return true
				}
			}
			return false
		}
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			name := rapid.SampledFrom(names).Draw(t, "name")
			place := rapid.SampledFrom(places).Draw(t, "place")
			service := rapid.SampledFrom([]string{"imap", "lmtp", "lda"}).Draw(t, "service")
			v := &vars.Values{User: name, RemoteIP: place, Service: service}
			switch rapid.IntRange(0, 7).Draw(t, "step") {
			case 0:
				value := rapid.SampledFrom(append(values, "")).Draw(t, "value")
				if h.says[name] = value; value == "" {
					delete(h.says, name)
				}
				truth[name] = append(truth[name], fact{h.now, value})
			case 1:
				h.now = h.now.Add(time.Duration(rapid.Int64Range(0, int64(2*ttl)).Draw(t, "time")))
			case 2:
				h.now = h.now.Add(time.Duration(rapid.Int64Range(0, int64(stale)).Draw(t, "long time")))
			case 3:
				h.down = nil
				if rapid.Bool().Draw(t, "down") {
					h.down = errDown
				}
			case 4:
				h.Flush(name)
				for i := range truth { // nothing from before may come again
					if i == name {
						truth[i] = slices.Clone(truth[i][len(truth[i])-1:])
					}
				}
			case 5:
				e, err := h.source.Lookup(context.Background(), v)
				got := said(e.Password, err)
				if err == nil {
					got = got[len("{SSHA512}"):]
				}
				check(t, "password", got, within(name, place, got, life(got)), h)
			case 6:
				l, err := h.users.Lookup(context.Background(), v)
				uid, _ := l.Get("uid")
				got, longest := said(uid, err), life(said(uid, err))
				if service != "imap" && h.down != nil && got != "unknown" {
					longest = ttl + stale
				}
				check(t, "user of "+service, got, within(name, place, got, longest), h)
			case 7:
				secret := rapid.SampledFrom(values).Draw(t, "secret") + " of " + name + " at " + place
				_, err := h.verifier.Verify(context.Background(), v, secret)
				switch got := said("yes", err); got {
				case "yes":
					check(t, "proof", got, within(name, place, secret, ttl), h)
				case "mismatch": // always the source's word of now
					now := truth[name][len(truth[name])-1].value
					check(t, "proof", got, h.down == nil && now != "" && now+" of "+name+" at "+place != secret, h)
				default:
					check(t, "proof", got, within(name, place, got, life(got)), h)
				}
			}
			if s := h.Status(); s.UsedSize < 0 || s.Positive+s.Negative != int64(len(h.entries)) || len(h.entries) != h.order.Len() {
				t.Fatalf("%+v with %d entries", s, len(h.entries))
			}
		}
	})
}

// life is for how long an answer may be given after it was true.
func life(got string) time.Duration {
	if got == "unknown" {
		return negative
	}
	return ttl
}

// check lets "later" pass when the source is down, and never "unknown" for it.
func check(t *rapid.T, what, got string, fits bool, h *house) {
	t.Helper()
	if got == "later" && h.down != nil {
		return
	}
	if !fits {
		t.Fatal(fmt.Sprintf("%s: %q is not what the source would have said (down: %v)", what, got, h.down))
	}
}
