package log

import (
	"strconv"
	"time"
)

// Stamp writes the time at the head of a line after a pattern of strftime(3).
type Stamp struct {
	Pattern string
	Zone    *time.Location // local time where nil
}

// formats are the letters of strftime(3) that Go's time can say.
var formats = map[byte]string{
	'a': "Mon", 'A': "Monday", 'b': "Jan", 'B': "January", 'h': "Jan",
	'd': "02", 'e': "_2", 'm': "01", 'y': "06", 'Y': "2006", 'j': "002",
	'H': "15", 'I': "03", 'M': "04", 'S': "05", 'p': "PM",
	'F': "2006-01-02", 'T': "15:04:05", 'R': "15:04", 'D': "01/02/06",
	'z': "-0700", 'Z': "MST", 'c': "Mon Jan _2 15:04:05 2006",
}

// Append writes the time. A letter that is not known stays as it is written.
func (s Stamp) Append(out []byte, now time.Time) []byte {
	if s.Zone != nil {
		now = now.In(s.Zone)
	}
	for i := 0; i < len(s.Pattern); i++ {
		c := s.Pattern[i]
		if c != '%' || i+1 == len(s.Pattern) {
			out = append(out, c)
			continue
		}
		i++
		switch letter := s.Pattern[i]; {
		case letter == '%':
			out = append(out, '%')
		case letter == 's':
			out = strconv.AppendInt(out, now.Unix(), 10)
		case formats[letter] != "":
			out = now.AppendFormat(out, formats[letter])
		default:
			out = append(out, '%', letter)
		}
	}
	return out
}
