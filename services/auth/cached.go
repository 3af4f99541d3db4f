package auth

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"culver/internal/settings/finished"
	"culver/services/auth/cache"
)

// newCache makes the cache that the settings want.
func newCache(set finished.Bag, logf Logf) *cache.Cache {
	return cache.New(cache.Options{
		Size: set.Int("auth_cache_size"),
		TTL:  set.Duration("auth_cache_ttl"), Negative: set.Duration("auth_cache_negative_ttl"), Stale: set.Duration("auth_cache_stale_ttl"),
		Now: time.Now, Logf: logf,
	})
}

// cacheFlush answers CACHE-FLUSH (spec/auth.md 2.7): names, or masks as in
// Dovecot 2.4.
func (c *conn) cacheFlush(r *request) error {
	masks := make([]string, len(r.Args))
	for i, m := range r.Args {
		masks[i] = m
		if name, err := c.Names.Canonical(m); err == nil && !strings.ContainsAny(m, "*?") {
			masks[i] = name
		}
	}
	c.reply(r, "OK", strconv.Itoa(c.Cache.Flush(masks...)))
	return nil
}

// cacheStatus answers CACHE-STATUS (spec/auth.md 2.2): nothing where there is no
// cache.
func (c *conn) cacheStatus(r *request) error {
	if !c.Cache.On() {
		c.reply(r, "OK")
		return nil
	}
	s := c.Cache.Status()
	if _, reset := r.Param(0, "reset"); reset {
		c.Cache.ResetStatus()
	}
	var fields []string
	for _, f := range [...]struct {
		key string
		n   int64
	}{
		{"hits", s.Hits}, {"misses", s.Misses}, {"pos_entries", s.Positive}, {"neg_entries", s.Negative},
		{"pos_size", s.PositiveSize}, {"neg_size", s.NegativeSize}, {"used_size", s.UsedSize}, {"max_size", s.MaxSize},
	} {
		fields = append(fields, fmt.Sprintf("%s=%d", f.key, f.n))
	}
	c.reply(r, "OK", fields...)
	return nil
}
