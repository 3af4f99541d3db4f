package authproto

import (
	"context"
	"fmt"
	"strconv"
)

// CacheFlush has auth forget what it remembers of the users that match the
// masks, or of everybody where there are none, and gives how many entries that
// were (spec/auth.md 2.7). It needs the master socket. The error is an ErrTempfail.
func (c *Client) CacheFlush(ctx context.Context, masks []string) (int, error) {
	total := 0
	for first := true; first || len(masks) > 0; first = false {
		some := fitting(masks)
		masks = masks[len(some):]
		args, err := c.request(ctx, "CACHE-FLUSH", "OK", some...)
		if err != nil {
			return total, err
		}
		n := 0
		if len(args) > 0 {
			n, err = strconv.Atoi(args[0])
		}
		if len(args) == 0 || err != nil {
			return total, &Tempfail{Err: fmt.Errorf("%w: no number of entries", errLine)}
		}
		total += n
	}
	return total, nil
}

// fitting gives as many masks as a line of Dovecot's server holds.
func fitting(masks []string) []string {
	room := MaxRequest - 64
	for i, m := range masks {
		if room -= 2*len(m) + 1; room < 0 && i > 0 { // escaped it may be twice as long
			return masks[:i]
		}
	}
	return masks
}

// CacheStatus gives what auth says of its cache, as key=value; nothing where it
// has none. It needs the master socket. The error is an ErrTempfail.
func (c *Client) CacheStatus(ctx context.Context) ([]string, error) {
	return c.request(ctx, "CACHE-STATUS", "OK")
}
