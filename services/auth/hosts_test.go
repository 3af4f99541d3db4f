package auth

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"culver/services/auth/field"
)

func fieldsOf(words ...string) (l field.List) {
	for _, w := range words {
		l.Set(field.Cut(w))
	}
	return l
}

func TestHostsOfProxiesAreResolved(t *testing.T) {
	t.Parallel()
	h := &hosts{lookup: func(_ context.Context, host string) ([]netip.Addr, error) {
		if host == "mail2.example.org" {
			return []netip.Addr{netip.MustParseAddr("::ffff:192.0.2.2")}, nil
		}
		return nil, errors.New("no such host")
	}}
	for _, tt := range []struct {
		name, have, want string
		fails            bool
	}{
		{"a name", "proxy host=mail2.example.org", "proxy host=mail2.example.org hostip=192.0.2.2", false},
		{"perhaps a proxy", "proxy_maybe host=mail2.example.org", "proxy_maybe host=mail2.example.org hostip=192.0.2.2", false},
		{"an address", "proxy host=2001:db8::1", "proxy host=2001:db8::1", false},
		{"a name with its address", "proxy host=unknown hostip=192.0.2.9", "proxy host=unknown hostip=192.0.2.9", false},
		{"no proxy", "host=unknown", "host=unknown", false},
		{"no host", "proxy", "proxy", false},
		{"a name that nobody knows", "proxy host=unknown", "", true},
	} {
		got, err := h.complete(t.Context(), fieldsOf(strings.Fields(tt.have)...))
		var text []string
		for _, f := range got {
			text = append(text, f.Wire())
		}
		if strings.Join(text, " ") != tt.want || (err != nil) != tt.fails {
			t.Errorf("%s: got %q, %v, want %q", tt.name, text, err, tt.want)
		}
	}
}

func TestANameServerIsAskedOnceForMany(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		asked := 0
		h := &hosts{lookup: func(ctx context.Context, _ string) ([]netip.Addr, error) {
			asked++
			if asked == 3 {
				<-ctx.Done() // it is away
				return nil, ctx.Err()
			}
			time.Sleep(time.Second)
			return []netip.Addr{netip.MustParseAddr("192.0.2.2")}, nil
		}}
		all := func() (failed int) {
			var wg sync.WaitGroup
			var mu sync.Mutex
			for range 100 {
				wg.Go(func() {
					if _, err := h.complete(context.Background(), fieldsOf("proxy", "host=b")); err != nil {
						mu.Lock()
						failed++
						mu.Unlock()
					}
				})
			}
			wg.Wait()
			return failed
		}
		for want := 1; want <= 2; want++ {
			if failed := all(); failed != 0 || asked != want {
				t.Errorf("asked %d times, %d failed, want %d and none", asked, failed, want)
			}
			all() // while the answer is fresh
			time.Sleep(hostFresh)
		}
		began := time.Now()
		if failed := all(); failed != 100 || time.Since(began) != hostTime {
			t.Errorf("%d failed after %v, want all after %v", failed, time.Since(began), hostTime)
		}
	})
}
