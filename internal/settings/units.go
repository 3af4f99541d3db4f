package settings

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// leadingDigits splits "64M" into 64 and "M".
func leadingDigits(s string) (n int64, unit string, ok bool) {
	i := 0
	for i < len(s) && s[i] >= '0' && s[i] <= '9' {
		i++
	}
	n, err := strconv.ParseInt(s[:i], 10, 64)
	return n, strings.TrimSpace(s[i:]), err == nil
}

// ParseSize reads 1048576, "1024K", "1M", "1MB" or "1MiB": all are the same
// number of bytes, as in Dovecot.
func ParseSize(s string) (int64, error) {
	n, unit, ok := leadingDigits(s)
	if !ok {
		return 0, faultf(`such as "64M"`, "%q is not a size", s)
	}
	unit = strings.ToUpper(unit)
	shift := 0
	if unit != "" && unit != "B" {
		shift = strings.Index("_KMGT", unit[:1])
	}
	switch {
	case unit != "" && unit != "B" && shift < 1, shift > 0 && !slices.Contains([]string{"", "B", "IB"}, unit[1:]):
		return 0, faultf("K, M, G or T", "%q has an unknown unit", s)
	}
	if n > math.MaxInt64>>(10*shift) {
		return 0, faultf("", "%q is too large", s)
	}
	return n << (10 * shift), nil
}

// FormatSize is the shortest text that ParseSize reads as n.
func FormatSize(n int64) string {
	i := 0
	for n != 0 && n%1024 == 0 && i < 4 {
		n /= 1024
		i++
	}
	return strconv.FormatInt(n, 10) + [...]string{"", "K", "M", "G", "T"}[i]
}

// units are the times of the language; "m" is a minute, as in Dovecot.
var units = []struct {
	long string // names that begin a word of this kind: "min" of "mins"
	text string
	size time.Duration
}{
	{"week", "w", 7 * 24 * time.Hour},
	{"day", "d", 24 * time.Hour},
	{"hour", "h", time.Hour},
	{"min", "m", time.Minute},
	{"sec", "s", time.Second},
	{"msec", "ms", time.Millisecond},
}

// ParseTime reads "30s", "5m", "1h", "2d", "1w", "200ms"; a bare number is in
// seconds.
func ParseTime(s string) (time.Duration, error) {
	n, unit, ok := leadingDigits(s)
	if !ok {
		return 0, faultf(`such as "30s"`, "%q is not a time", s)
	}
	if unit == "" {
		unit = "s"
	}
	for _, u := range units {
		if unit != u.text && !strings.HasPrefix(unit, u.long) {
			continue
		}
		if n > int64(math.MaxInt64/u.size) {
			return 0, faultf("", "%q is too long", s)
		}
		return time.Duration(n) * u.size, nil
	}
	return 0, faultf("ms, s, m, h, d or w", "%q has an unknown unit", s)
}

// FormatTime is the shortest text that ParseTime reads as d.
func FormatTime(d time.Duration) string {
	if d == 0 {
		return "0s"
	}
	for _, u := range units {
		if d%u.size == 0 {
			return fmt.Sprintf("%d%s", d/u.size, u.text)
		}
	}
	return fmt.Sprintf("%dms", d/time.Millisecond)
}
