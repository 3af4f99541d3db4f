package mailtest

import (
	"bufio"
	"fmt"
	"net"
	"strings"
	"time"
)

// Session is one LMTP session with a server that runs. It shares no code with
// the product: a server is not shown to be right by its own client.
type Session struct {
	conn net.Conn
	in   *bufio.Reader
	show func(string)
}

// Dial connects and reads the greeting. show is given each line of the dialogue.
func Dial(socket string, show func(string)) (*Session, error) {
	conn, err := net.Dial("unix", socket)
	if err != nil {
		return nil, err
	}
	conn.SetDeadline(time.Now().Add(30 * time.Second))
	s := &Session{conn: conn, in: bufio.NewReader(conn), show: show}
	if _, err = s.reply(); err != nil {
		conn.Close()
	}
	return s, err
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
	for _, c := range []string{"LHLO client.example.org", "MAIL FROM:<" + from + ">"} {
		if got, err := s.Command(c); err != nil || got[0] != '2' {
			return nil, fmt.Errorf("%s: %s (%v)", c, got, err)
		}
	}
	replies := make([]string, len(to))
	var accepted []int
	for i, rcpt := range to {
		got, err := s.Command("RCPT TO:<" + rcpt + ">")
		if err != nil {
			return nil, err
		}
		if replies[i] = got; got[0] == '2' {
			accepted = append(accepted, i)
		}
	}
	if len(accepted) > 0 {
		if got, err := s.Command("DATA"); err != nil || got[0] != '3' {
			return nil, fmt.Errorf("DATA: %s (%v)", got, err)
		}
		fmt.Fprint(s.conn, strings.ReplaceAll(text, "\n", "\r\n"))
		s.say(".")
	}
	// RFC 2033 section 4.2: a reply for each recipient that was accepted.
	for _, i := range accepted {
		got, err := s.reply()
		if err != nil {
			return nil, err
		}
		replies[i] = got
	}
	_, err := s.Command("QUIT")
	return replies, err
}
