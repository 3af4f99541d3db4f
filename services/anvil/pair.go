package anvil

import "time"

// How fast a count grows and is forgotten.
const (
	// refuseAt is how many wrong passwords end the patience: an attempt beyond is
	// refused at once, as a longer wait would cost us more than the attacker.
	refuseAt = 10
	// trustedRefuseAt is that for a user who has logged in from there lately. He
	// waits for nothing below it, so that another in his network cannot slow
	// him down; who sits in the same network has this many guesses a login.
	trustedRefuseAt = 50
	trustedFor      = 24 * time.Hour
	// forgetAfter is how long each wrong password counts after the one before it.
	forgetAfter = time.Minute
	// attemptLife bounds an attempt of whose end nobody tells: auth gives up a
	// client after 150 s.
	attemptLife = 3 * time.Minute
)

// waits are by how many wrong passwords count; the last is for all above. The
// first mistake costs nothing: auth_failure_delay is there anyway.
var waits = [...]time.Duration{0, 0, 1 * time.Second, 2 * time.Second, 4 * time.Second, 8 * time.Second, 15 * time.Second}

// pair is the count for one user from one network. A wrong password counts once
// however often it comes: a telephone that does not know of the new one is no
// attacker. Attempts that run count as if they had failed, or a hundred at
// once would be free.
type pair struct {
	wrong   []string  // checksums, the oldest first; "" where there was none
	running []attempt // the oldest first
	leaked  time.Time // when the oldest began to be forgotten
	failed  time.Time // last wrong password
	heard   time.Time // last attempt
	trusted time.Time // last success
}

type attempt struct {
	checksum string
	began    time.Time
}

// forget takes off what is too old.
func (c *pair) forget(now time.Time) {
	for len(c.wrong) > 0 && now.Sub(c.leaked) >= forgetAfter {
		c.wrong = c.wrong[1:]
		c.leaked = c.leaked.Add(forgetAfter)
	}
	for len(c.running) > 0 && now.Sub(c.running[0].began) >= attemptLife {
		c.running = c.running[1:]
	}
	if now.Sub(c.trusted) >= trustedFor {
		c.trusted = time.Time{}
	}
}

// level is how many wrong passwords an attempt with this one has to answer for:
// those that were, and those that run and may be.
func (c *pair) level(checksum string) int {
	n := len(c.wrong)
	for i, r := range c.running {
		if r.checksum == "" || r.checksum != checksum && !c.knows(r.checksum) && !ran(c.running[:i], r.checksum) {
			n++
		}
	}
	return n
}

func (c *pair) knows(checksum string) bool {
	for _, w := range c.wrong {
		if w == checksum {
			return checksum != ""
		}
	}
	return false
}

func ran(all []attempt, checksum string) bool {
	for _, r := range all {
		if r.checksum == checksum {
			return true
		}
	}
	return false
}

// judge says what becomes of an attempt that is about to begin.
func (c *pair) judge(checksum string) (wait time.Duration, refuse bool) {
	if !c.trusted.IsZero() {
		return 0, c.level(checksum) >= trustedRefuseAt
	}
	if c.level(checksum) >= refuseAt {
		return 0, true
	}
	return c.wait(checksum), false
}

func (c *pair) wait(checksum string) time.Duration {
	return waits[min(c.level(checksum), len(waits)-1)]
}

func (c *pair) begin(checksum string, now time.Time) {
	c.heard = now
	c.running = append(c.running, attempt{checksum, now})
	if len(c.running) > trustedRefuseAt {
		c.running = c.running[1:] // many with one password: enough of them are known
	}
}

func (c *pair) end(checksum string, now time.Time) {
	c.heard = now
	for i, r := range c.running {
		if r.checksum == checksum {
			c.running = append(c.running[:i], c.running[i+1:]...)
			return
		}
	}
}

func (c *pair) fail(checksum string, now time.Time) {
	if c.knows(checksum) {
		return
	}
	if len(c.wrong) == 0 {
		c.leaked = now
	}
	c.failed = now
	if c.wrong = append(c.wrong, checksum); len(c.wrong) > trustedRefuseAt {
		c.wrong = c.wrong[1:]
	}
}

func (c *pair) succeed(now time.Time) {
	c.wrong, c.trusted = nil, now
}

// clear forgets wrong passwords and says whether there were any.
func (c *pair) clear() bool {
	had := len(c.wrong) > 0
	c.wrong, c.running = nil, nil
	return had
}

// busy says whether it counts against anybody.
func (c *pair) busy() bool { return len(c.wrong)+len(c.running) > 0 }

// empty says whether it can be forgotten.
func (c *pair) empty() bool { return !c.busy() && c.trusted.IsZero() }
