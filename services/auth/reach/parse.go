package reach

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"culver/internal/authproto"
	"culver/services/auth/field"
)

// list parts a value at its commas and blanks.
func list(value string) ([]string, error) {
	items := strings.FieldsFunc(value, func(r rune) bool { return r == ',' || r == ' ' })
	switch {
	case len(items) == 0:
		return nil, errors.New("it is empty: want a list with commas, or * for all")
	case len(items) > maxMasks:
		return nil, fmt.Errorf("it has %d items, want at most %d", len(items), maxMasks)
	}
	return items, nil
}

// users reads allow_users.
func users(value string) ([]string, error) {
	masks, err := list(value)
	for i, mask := range masks {
		switch {
		case !authproto.ValidUser(mask):
			return nil, fmt.Errorf("%q is no user name and no mask of any", mask)
		case mask[0] == '!':
			return nil, fmt.Errorf("%q: there are no exceptions, want those that are allowed", mask)
		}
		masks[i] = lower(mask)
	}
	return masks, err
}

// commands reads allow_commands.
func commands(value string) ([]string, error) {
	masks, err := list(value)
	for i, mask := range masks {
		masks[i] = strings.ReplaceAll(lower(mask), "_", " ")
		words, more := strings.CutSuffix(masks[i], "*")
		if more {
			words = strings.TrimSuffix(words, " ")
		}
		if masks[i] != "*" && !authproto.ValidCommand(words) {
			return nil, fmt.Errorf("%q is no command: want such as search, mailbox_list, mailbox* or *", mask)
		}
	}
	return masks, err
}

// nets reads allow_nets.
func nets(value string) (all []field.Net, err error) {
	items, err := list(value)
	for _, item := range items {
		n, err := field.ParseNet(item)
		if err != nil {
			return nil, err
		}
		all = append(all, n)
	}
	return all, err
}

// moment reads allow_until: the moment from which on the leave is none.
func moment(text string) (time.Time, error) {
	if day, err := time.ParseInLocation(time.DateOnly, text, time.Local); err == nil {
		return day.AddDate(0, 0, 1), nil
	}
	if t, err := time.Parse(time.RFC3339, text); err == nil {
		return t, nil
	}
	if unix, err := strconv.ParseUint(text, 10, 40); err == nil {
		return time.Unix(int64(unix), 0), nil
	}
	return time.Time{}, errors.New("it is no time: want such as 2027-01-31, 2027-01-31T18:00:00+01:00 or seconds since 1970")
}

// Until reads an ordinary user's allow_until; the zero time is no end.
func Until(value string) (time.Time, error) {
	t, err := moment(value)
	if err != nil {
		return t, fmt.Errorf("field allow_until=%q: %w", value, err)
	}
	return t, nil
}
