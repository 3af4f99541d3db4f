package search

import (
	"errors"
	"math"
	"strconv"
	"strings"
	"time"
)

// Date is a moment, or a calendar day. A day is compared with the day that a
// message shows: in the local zone for the received and saved dates, in the
// header's own for the sent date.
type Date struct {
	Day  bool
	Unix int64 // of the moment; of a day's midnight as if it were UTC
}

const day = 24 * 60 * 60

// at gives the message's time in the terms of d; offset is seconds east of UTC.
func (d Date) at(unix int64, offset int) int64 {
	if d.Day {
		return unix + int64(offset)
	}
	return unix
}

// Before, On and Since compare a message's time, which its zone shows offset
// seconds east of UTC.
func (d Date) Before(unix int64, offset int) bool { return d.at(unix, offset) < d.Unix }

// On is from d for 24 hours.
func (d Date) On(unix int64, offset int) bool {
	t := d.at(unix, offset)
	return t >= d.Unix && t-day < d.Unix
}

// Since includes d itself.
func (d Date) Since(unix int64, offset int) bool { return d.at(unix, offset) >= d.Unix }

const dateForms = `a date is 2022-06-30, 30-Jun-2022, seconds since 1970, or an interval before now such as "30d" or "2 weeks"`

// parseDate reads the forms of spec/doveadm.md 5.4. relative tells that the
// date counts from now.
func parseDate(s string, now time.Time) (d Date, relative bool, what string) {
	if t, ok := parseDay(s); ok {
		return Date{Day: true, Unix: t.Unix()}, false, ""
	}
	if digits(s) {
		n, err := strconv.ParseInt(s, 10, 64)
		if err != nil || n > maxUnix {
			return d, false, "the time is too large"
		}
		return Date{Unix: n}, false, ""
	}
	if t, err := time.Parse("2-Jan-2006 15:04:05 -0700", strings.TrimPrefix(s, " ")); err == nil {
		return Date{Unix: t.Unix()}, false, ""
	}
	secs, what := parseInterval(s)
	if what != "" {
		return d, false, what
	}
	return Date{Unix: now.Unix() - secs}, true, ""
}

// ParseMoment reads one moment in any of the forms of a date; a day is its
// midnight in zone.
func ParseMoment(s string, now time.Time, zone *time.Location) (time.Time, error) {
	d, _, what := parseDate(s, now)
	if what != "" {
		return time.Time{}, errors.New(what + " (" + dateForms + ")")
	}
	t := time.Unix(d.Unix, 0)
	if d.Day {
		year, month, day := t.UTC().Date()
		t = time.Date(year, month, day, 0, 0, 0, 0, zone)
	}
	return t, nil
}

// maxUnix is the year 9999: sums with it cannot overflow.
const maxUnix = 253402300799

func parseDay(s string) (time.Time, bool) {
	if len(s) == len("2006-01-02") && s[4] == '-' && s[7] == '-' {
		t, err := time.Parse("2006-01-02", s)
		return t, err == nil
	}
	t, err := time.Parse("2-Jan-2006", s)
	return t, err == nil && len(s) >= len("2-Jan-2006")
}

func digits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != ""
}

// units in the order in which a prefix that fits several is taken.
var units = []struct {
	name string
	secs int64
}{
	{"secs", 1}, {"seconds", 1}, {"mins", 60}, {"minutes", 60}, {"hours", 60 * 60}, {"days", day}, {"weeks", 7 * day},
	{"msecs", 0}, {"milliseconds", 0},
}

// parseInterval gives the seconds of "30d"; any prefix of a unit's name is one.
func parseInterval(s string) (secs int64, what string) {
	i := 0
	for i < len(s) && s[i] >= '0' && s[i] <= '9' {
		i++
	}
	if i == 0 {
		return 0, "this is not a date"
	}
	n, err := strconv.ParseInt(s[:i], 10, 64)
	unit := strings.ToLower(strings.TrimLeft(s[i:], " "))
	for _, u := range units {
		if unit == "" || !strings.HasPrefix(u.name, unit) {
			continue
		}
		switch {
		case err != nil:
			return 0, "the interval is too long"
		case u.secs == 0 && n%1000 != 0:
			return 0, "an interval has whole seconds"
		case u.secs == 0:
			n /= 1000
		case n > math.MaxUint32/u.secs:
			return 0, "the interval is too long"
		default:
			n *= u.secs
		}
		if n > math.MaxUint32 {
			return 0, "the interval is too long"
		}
		return n, ""
	}
	return 0, "this is not a date"
}
