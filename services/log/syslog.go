package log

import (
	"io"
	"net"
	"strconv"
	"time"

	"culver/internal/maillog/logline"
)

// syslogWait bounds how long a system logger that hangs can hold everybody up;
// for checkEvery after that, lines go past it at once.
const syslogWait = 200 * time.Millisecond

// Syslog sends each line as one datagram, RFC 3164 section 4.1.
type Syslog struct {
	Path     string // the socket, /dev/log
	Facility int
	Tag      string
	Stream   io.Writer // last resort, the master's standard error
	Stamp    Stamp     // for lines on Stream

	conn    net.Conn
	retryAt time.Time
	buf     []byte
	lost    losses
}

// Put sends one line.
func (s *Syslog) Put(now time.Time, l logline.Level, who, text []byte) {
	if s.lost.count > 0 && !now.Before(s.retryAt) {
		if err := s.send(now, logline.Error, []byte("log: "), s.lost.notice(s.Path)); err == nil {
			s.lost = losses{}
		}
	}
	if err := s.send(now, l, who, text); err != nil {
		s.lost.add(1, err)
		f := File{Stream: s.Stream, Stamp: s.Stamp}
		f.Put(now, l, who, text)
		f.Flush(now)
	}
}

func (s *Syslog) send(now time.Time, l logline.Level, who, text []byte) error {
	if now.Before(s.retryAt) {
		return s.lost.err
	}
	s.buf = s.packet(s.buf[:0], now, l, who, text)
	err := s.write(now)
	if err != nil && s.conn != nil {
		// The usual cause is a logger that was restarted: its new socket has the
		// same name.
		s.conn.Close()
		s.conn = nil
		if ne, ok := err.(net.Error); !ok || !ne.Timeout() {
			err = s.write(now)
		}
	}
	if err != nil {
		s.lost.err = err
		s.retryAt = now.Add(checkEvery)
	}
	return err
}

func (s *Syslog) write(now time.Time) error {
	if s.conn == nil {
		c, err := net.Dial("unixgram", s.Path)
		if err != nil {
			return err
		}
		s.conn = c
	}
	s.conn.SetWriteDeadline(time.Now().Add(syslogWait))
	_, err := s.conn.Write(s.buf)
	return err
}

// packet is one line as syslog has it. As in Dovecot, the word for the level is
// left out of ordinary lines.
func (s *Syslog) packet(out []byte, now time.Time, l logline.Level, who, text []byte) []byte {
	out = append(out, '<')
	out = strconv.AppendInt(out, int64(s.Facility*8+severity(l)), 10)
	out = append(out, '>')
	if s.Stamp.Zone != nil { // RFC 3164 has local time, which a box without /etc/localtime takes for UTC
		now = now.In(s.Stamp.Zone)
	}
	out = now.AppendFormat(out, time.Stamp)
	out = append(out, ' ')
	out = append(out, s.Tag...)
	out = append(out, ": "...)
	out = append(out, who...)
	if l != logline.Info {
		out = append(out, levelName(l)...)
		out = append(out, ": "...)
	}
	return append(out, text...)
}

// Flush has nothing to do: a datagram is sent as it comes.
func (s *Syslog) Flush(time.Time) {}

// Reopen connects anew at the next line.
func (s *Syslog) Reopen() {
	if s.conn != nil {
		s.conn.Close()
		s.conn = nil
	}
	s.retryAt = time.Time{}
}

// severity is RFC 3164's number of a level.
func severity(l logline.Level) int {
	switch l {
	case logline.Debug:
		return 7
	case logline.Info:
		return 6
	case logline.Audit:
		return 5
	case logline.Warn:
		return 4
	case logline.Fatal:
		return 2
	}
	return 3
}

// facility is RFC 3164's number of a facility's name; mail for one it has not.
func facility(name string) int {
	names := []string{"kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp"}
	for n, have := range names {
		if have == name {
			return n
		}
	}
	if len(name) == 6 && name[:5] == "local" && name[5] >= '0' && name[5] <= '7' {
		return 16 + int(name[5]-'0')
	}
	return 2
}
