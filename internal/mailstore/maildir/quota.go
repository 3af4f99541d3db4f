package maildir

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// Quota is what a user may keep. Its zero value limits nothing by itself; a
// maildirsize file that exists is obeyed all the same.
type Quota struct {
	rules []quotaRule
	grace limit
}

// quotaRule is one limit for the mailboxes that a pattern names.
type quotaRule struct {
	pattern  string // of names with prefix and separator; "*" is the user's own limit
	ignore   bool
	storage  limit
	messages limit
}

// limit is a number, a difference to the user's limit, or a part of it.
type limit struct {
	set      bool
	n        int64
	relative bool // add n to the user's limit
	percent  bool // n is a percentage of the user's limit
}

// ParseQuota reads rules in Dovecot's form, MAILBOX:LIMIT[:LIMIT...], the later
// one winning, and the grace, a size or a percentage.
func ParseQuota(rules []string, grace string) (*Quota, error) {
	q := &Quota{}
	for _, text := range rules {
		r, err := parseRule(text)
		if err != nil {
			return nil, fmt.Errorf("quota_rule %q: %w", text, err)
		}
		q.rules = append(q.rules, r)
	}
	if grace != "" {
		g, err := parseLimit(grace, 1)
		if err != nil || g.relative || g.n < 0 {
			return nil, fmt.Errorf("quota_grace %q: want a size or a percentage", grace)
		}
		q.grace = g
	}
	return q, nil
}

func parseRule(text string) (r quotaRule, err error) {
	name, rest, ok := strings.Cut(text, ":")
	if !ok || name == "" || rest == "" {
		return r, fmt.Errorf("want MAILBOX:LIMIT, for example *:storage=1G")
	}
	r.pattern = name
	for part := range strings.SplitSeq(rest, ":") {
		key, value, _ := strings.Cut(part, "=")
		switch key {
		case "ignore":
			r.ignore = true
		case "storage":
			r.storage, err = parseLimit(value, 1<<10) // Dovecot's unit is KB
		case "bytes":
			r.storage, err = parseLimit(value, 1)
		case "messages":
			r.messages, err = parseLimit(value, 0)
		default:
			err = fmt.Errorf("unknown limit %q, want storage, bytes, messages or ignore", key)
		}
		if err != nil {
			return r, err
		}
	}
	if name == "*" {
		if r.ignore || r.storage.relative || r.storage.percent || r.messages.relative || r.messages.percent {
			return r, fmt.Errorf("the rule of * must have a limit of its own")
		}
	}
	return r, nil
}

// parseLimit reads [+-]NUMBER[b|k|M|G|T|%]; unit is what a bare number counts,
// 0 where no size is meant.
func parseLimit(s string, unit int64) (limit, error) {
	l := limit{set: true}
	text := s
	if s != "" && (s[0] == '+' || s[0] == '-') {
		l.relative = true
		s = s[1:]
	}
	digits := strings.TrimRight(s, "%bBkKMmGgTtiI")
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || n < 0 || digits[0] == '+' {
		return l, fmt.Errorf("%q is not a number with an optional unit b, k, M, G, T or %%", text)
	}
	factor := max(unit, 1)
	switch suffix := strings.ToLower(s[len(digits):]); {
	case suffix == "":
	case suffix == "%":
		l.percent, factor = true, 1
	case unit == 0:
		return l, fmt.Errorf("%q: a number of messages has no unit", text)
	default:
		power := strings.Index("bkmgt", strings.TrimSuffix(strings.TrimSuffix(suffix, "b"), "i"))
		if suffix == "b" {
			power = 0
		}
		if power < 0 || len(suffix) > 3 || suffix[0] == 'i' {
			return l, fmt.Errorf("%q has an unknown unit, want b, k, M, G, T or %%", text)
		}
		factor = 1 << (10 * power)
	}
	if n > math.MaxInt64/4/factor {
		return l, fmt.Errorf("%q is too large", text)
	}
	if l.n = n * factor; text[0] == '-' {
		l.n = -l.n
	}
	return l, nil
}

// of gives the limit as a number; base is the user's own one.
func (l limit) of(base int64) int64 {
	n := l.n
	if l.percent {
		n = percentOf(base, n)
	}
	if l.relative {
		return max(base+n, 1) // 0 would mean: no limit
	}
	return n
}

func percentOf(base, percent int64) int64 { return base/100*percent + base%100*percent/100 }

// limits are what counts in the end: bytes and messages, 0 for none.
type limits struct{ bytes, messages int64 }

// own gives the user's configured limits; ok says that there are any.
func (q *Quota) own() (l limits, ok bool) {
	for _, r := range q.rules {
		if r.pattern != "*" {
			continue
		}
		if r.storage.set {
			l.bytes, ok = r.storage.n, true
		}
		if r.messages.set {
			l.messages, ok = r.messages.n, true
		}
	}
	return l, ok
}

// ignored says that a mailbox counts for nothing.
func (q *Quota) ignored(mailbox string) bool {
	for _, r := range q.rules {
		if r.ignore && matches(r.pattern, mailbox) {
			return true
		}
	}
	return false
}

// forMailbox gives the limits that a save into one mailbox meets; own are the
// user's.
func (q *Quota) forMailbox(mailbox string, own limits) limits {
	l := own
	for _, r := range q.rules {
		if r.pattern == "*" || !matches(r.pattern, mailbox) {
			continue
		}
		if r.storage.set && own.bytes > 0 {
			l.bytes = r.storage.of(own.bytes)
		}
		if r.messages.set && own.messages > 0 {
			l.messages = r.messages.of(own.messages)
		}
	}
	return l
}

// matches compares with * and ? as wildcards; INBOX has no case.
func matches(pattern, name string) bool {
	if strings.EqualFold(name, "INBOX") {
		pattern, name = strings.ToUpper(pattern), "INBOX"
	}
	// star is where the last * stands, retry where it may swallow one more.
	star, retry, p, n := -1, 0, 0, 0
	for n < len(name) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, retry, p = p, n, p+1
		case p < len(pattern) && (pattern[p] == '?' || pattern[p] == name[n]):
			p, n = p+1, n+1
		case star >= 0:
			retry++
			p, n = star+1, retry
		default:
			return false
		}
	}
	for p < len(pattern) && pattern[p] == '*' {
		p++
	}
	return p == len(pattern)
}

// exceeded decides whether size more bytes in one more message are too much.
func (q *Quota) exceeded(l limits, have counts, size int64) bool {
	if l.messages > 0 && have.messages+1 > l.messages {
		return true
	}
	if l.bytes <= 0 || have.bytes+size <= l.bytes {
		return false
	}
	grace := q.grace.n
	if q.grace.percent {
		grace = percentOf(l.bytes, q.grace.n)
	}
	// The last message may exceed the limit by the grace; a message larger than
	// the whole limit never fits.
	return have.bytes >= l.bytes || size > l.bytes || have.bytes+size > l.bytes+grace
}

// counts are what a user has.
type counts struct{ bytes, messages int64 }

// ignoresAny says that there are mailboxes that count for nothing.
func (q *Quota) ignoresAny() bool {
	return slices.ContainsFunc(q.rules, func(r quotaRule) bool { return r.ignore })
}
