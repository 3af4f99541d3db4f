package main

import (
	"bufio"
	"fmt"
	"net"
	"strings"
	"time"
)

// session is one LMTP session, of the demo's own making: a server is not shown
// by its own client.
type session struct {
	conn net.Conn
	in   *bufio.Reader
	show func(string)
}

func dial(socket string, show func(string)) (*session, error) {
	conn, err := net.Dial("unix", socket)
	if err != nil {
		return nil, err
	}
	conn.SetDeadline(time.Now().Add(30 * time.Second))
	s := &session{conn: conn, in: bufio.NewReader(conn), show: show}
	_, err = s.reply()
	return s, err
}

// reply reads one reply, which may have several lines, and gives the last.
func (s *session) reply() (string, error) {
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

func (s *session) say(line string) {
	s.show("C: " + line)
	fmt.Fprintf(s.conn, "%s\r\n", line)
}

// command sends one line and gives its reply.
func (s *session) command(line string) (string, error) {
	s.say(line)
	return s.reply()
}

// deliver sends one message to all recipients and gives their replies.
func (s *session) deliver(from string, to []string, text string) ([]string, error) {
	commands := []string{"LHLO client.example.org", "MAIL FROM:<" + from + ">"}
	for _, rcpt := range to {
		commands = append(commands, "RCPT TO:<"+rcpt+">")
	}
	for _, c := range append(commands, "DATA") {
		got, err := s.command(c)
		if err != nil {
			return nil, err
		}
		if got[0] != '2' && got[0] != '3' {
			return nil, fmt.Errorf("%s: %s", c, got)
		}
	}
	fmt.Fprint(s.conn, strings.ReplaceAll(text, "\n", "\r\n"))
	s.say(".")
	// RFC 2033 section 4.2: a reply for each recipient.
	var replies []string
	for range to {
		got, err := s.reply()
		if err != nil {
			return nil, err
		}
		replies = append(replies, got)
	}
	_, err := s.command("QUIT")
	s.conn.Close()
	return replies, err
}
