package mailtest

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"strings"
	"time"
)

// Session is one LMTP session with a server that runs. It shares no code with
// the product: a server is not shown to be right by its own client.
type Session struct {
	conn     net.Conn
	in       *bufio.Reader
	show     func(string)
	replies  []string // of the transaction's recipients
	accepted []int    // those whose reply comes after the message
	ended    bool     // the dot was sent
}

// Dial connects to a UNIX socket and reads the greeting. show is given each line
// of the dialogue.
func Dial(socket string, show func(string)) (*Session, error) {
	conn, err := net.Dial("unix", socket)
	if err != nil {
		return nil, err
	}
	return Greeted(conn, show)
}

// Greeted reads the greeting on a connection, which it takes over.
func Greeted(conn net.Conn, show func(string)) (*Session, error) {
	s := Over(conn, show)
	got, err := s.reply()
	if err == nil && got[0] != '2' {
		err = fmt.Errorf("greeting: %s", got)
	}
	if err != nil {
		conn.Close()
	}
	return s, err
}

// Over is a session on a connection whose greeting was read already.
func Over(conn net.Conn, show func(string)) *Session {
	conn.SetDeadline(time.Now().Add(30 * time.Second))
	return &Session{conn: conn, in: bufio.NewReader(conn), show: show}
}

// reply reads one reply, which may have several lines, and gives the last.
func (s *Session) reply() (string, error) {
	for {
		line, err := s.in.ReadString('\n')
		if err != nil {
			return "", fmt.Errorf("the server's reply: %w", err)
		}
		line = strings.TrimRight(line, "\r\n")
		s.show("S: " + line)
		if len(line) < 4 || line[3] != '-' {
			return line, nil
		}
	}
}

func (s *Session) say(line string) {
	s.show("C: " + line)
	fmt.Fprintf(s.conn, "%s\r\n", line)
}

// Command sends one line and gives the last line of its reply.
func (s *Session) Command(line string) (string, error) {
	s.say(line)
	return s.reply()
}

// Deliver sends one message, whose lines end in LF and begin with no dot, and
// gives the final reply of each recipient: that of RCPT where it was refused.
func (s *Session) Deliver(from string, to []string, text string) ([]string, error) {
	defer s.conn.Close()
	if err := s.Begin(from, to, text); err != nil {
		return nil, err
	}
	replies, err := s.End()
	if err == nil {
		_, err = s.Command("QUIT")
	}
	return replies, err
}

// Begin is Deliver up to the end of the text; the dot is still to come.
func (s *Session) Begin(from string, to []string, text string) error {
	for _, c := range []string{"LHLO client.example.org", "MAIL FROM:<" + from + ">"} {
		if got, err := s.Command(c); err != nil || got[0] != '2' {
			return fmt.Errorf("%s: %s (%v)", c, got, err)
		}
	}
	s.replies, s.accepted, s.ended = make([]string, len(to)), nil, false
	for i, rcpt := range to {
		got, err := s.Command("RCPT TO:<" + rcpt + ">")
		if err != nil {
			return err
		}
		if s.replies[i] = got; got[0] == '2' {
			s.accepted = append(s.accepted, i)
		}
	}
	if len(s.accepted) == 0 {
		return nil
	}
	if got, err := s.Command("DATA"); err != nil || got[0] != '3' {
		return fmt.Errorf("DATA: %s (%v)", got, err)
	}
	_, err := fmt.Fprint(s.conn, strings.ReplaceAll(text, "\n", "\r\n"))
	return err
}

// Dot ends the message that Begin began.
func (s *Session) Dot() error {
	if len(s.accepted) == 0 || s.ended {
		return nil
	}
	s.ended = true
	s.show("C: .")
	_, err := fmt.Fprint(s.conn, ".\r\n")
	return err
}

// End is Dot, unless it was there already, and gives the final replies.
func (s *Session) End() ([]string, error) {
	if err := s.Dot(); err != nil {
		return nil, err
	}
	// RFC 2033 section 4.2: a reply for each recipient that was accepted.
	for _, i := range s.accepted {
		got, err := s.reply()
		if err != nil {
			return nil, err
		}
		s.replies[i] = got
	}
	return s.replies, nil
}

// Farewell waits for the server to end the session, and gives its last words.
func (s *Session) Farewell() (string, error) {
	defer s.conn.Close()
	text, err := io.ReadAll(s.in)
	s.show("S: " + string(text))
	return string(text), err
}
