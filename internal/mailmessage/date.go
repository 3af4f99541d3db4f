package mailmessage

import (
	"strings"
	"time"
)

// SentDate reads a Date field (RFC 5322 section 3.3, and its obsolete forms).
// The zone is the field's own.
func SentDate(text string) (time.Time, bool) {
	if i := strings.IndexByte(text, '('); i >= 0 {
		text = text[:i]
	}
	w := strings.Fields(strings.ReplaceAll(text, ",", " "))
	if len(w) > 0 && (w[0][0] < '0' || w[0][0] > '9') {
		w = w[1:] // day of the week
	}
	if len(w) < 4 {
		return time.Time{}, false
	}
	day, ok1 := number(w[0], 2)
	month := monthNamed(w[1])
	year, ok2 := number(w[2], 4)
	if !ok1 || !ok2 || month == 0 {
		return time.Time{}, false
	}
	switch {
	case len(w[2]) == 2 && year < 50:
		year += 2000
	case len(w[2]) <= 3:
		year += 1900
	}
	clock := strings.Split(w[3], ":")
	if len(clock) < 2 || len(clock) > 3 {
		return time.Time{}, false
	}
	var hms [3]int
	for i, part := range clock {
		n, ok := number(part, 2)
		if !ok {
			return time.Time{}, false
		}
		hms[i] = n
	}
	offset := 0
	if len(w) > 4 {
		offset = zone(w[4])
	}
	if day < 1 || day > 31 || hms[0] > 23 || hms[1] > 59 || hms[2] > 60 {
		return time.Time{}, false
	}
	return time.Date(year, month, day, hms[0], hms[1], hms[2], 0, time.FixedZone("", offset)), true
}

func number(s string, most int) (n int, ok bool) {
	if s == "" || len(s) > most {
		return 0, false
	}
	for _, c := range s {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + int(c-'0')
	}
	return n, true
}

func monthNamed(s string) time.Month {
	if len(s) < 3 {
		return 0
	}
	const names = "janfebmaraprmayjunjulaugsepoctnovdec"
	i := strings.Index(names, strings.ToLower(s[:3]))
	if i < 0 || i%3 != 0 {
		return 0
	}
	return time.Month(i/3 + 1)
}

// zone is a zone's offset in seconds; an unknown one is UTC (RFC 5322 section 4.3).
func zone(s string) int {
	if len(s) == 5 && (s[0] == '+' || s[0] == '-') {
		if n, ok := number(s[1:], 4); ok {
			offset := (n/100*60 + n%100) * 60
			if s[0] == '-' {
				return -offset
			}
			return offset
		}
		return 0
	}
	switch strings.ToUpper(s) {
	case "EDT":
		return -4 * 3600
	case "EST", "CDT":
		return -5 * 3600
	case "CST", "MDT":
		return -6 * 3600
	case "MST", "PDT":
		return -7 * 3600
	case "PST":
		return -8 * 3600
	}
	return 0
}
