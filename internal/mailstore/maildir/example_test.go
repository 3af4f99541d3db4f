package maildir_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"culver/internal/mailstore/maildir"
)

func Example() {
	home, err := os.MkdirTemp("", "home")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(home)

	store := maildir.New(maildir.Config{Root: filepath.Join(home, "Maildir"), Make: true, Host: "mx.example.org"})
	defer store.Close()
	inbox, err := store.Inbox()
	if err != nil {
		fmt.Println(err)
		return
	}
	defer inbox.Close()

	text := "Subject: hi\r\n\r\nText\r\n"
	saved, err := inbox.Save(maildir.Message{
		Head: []byte("Return-Path: <>\n"),
		Body: strings.NewReader(text),
		Size: int64(len(text)),
	})
	fmt.Println(saved.Size, saved.Virtual, err)
	// Output: 34 38 <nil>
}
