// The MongoDB of the tests: FerretDB with its SQLite backend, behind a front that lets one command at a time through.
//
// FerretDB reads what a filter matches and then writes it, in two steps, so that its filtered updates are not atomic as
// those of MongoDB are. One command at a time, they are. The front also answers TLS, logins, the name of a replica set
// and fail points, which FerretDB's embedded form does not.
//
// It prints "listening PORT" when it takes connections. SIGUSR1 closes all of them, SIGTERM ends it.
package main

import (
	"context"
	"crypto/tls"
	"flag"
	"fmt"
	"log"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/FerretDB/FerretDB/ferretdb"
)

func main() {
	log.SetFlags(0)
	folder := flag.String("folder", "", "where the databases are kept")
	address := flag.String("listen", "127.0.0.1:0", "host:port; 0 is a free port")
	certificate := flag.String("certificate", "", "a PEM file with a certificate and its key: then it speaks TLS only")
	user := flag.String("user", "", "the one user; without one nobody has to log in")
	password := flag.String("password", "", "the password of that user")
	set := flag.String("set", "", "the name of the replica set of which it is the primary and the only member")
	flag.Parse()

	// A file that may not grow any more is the error of one command, as a full disk is.
	signal.Ignore(syscall.SIGXFSZ)
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()

	socket := filepath.Join(*folder, "ferretdb.sock")
	if err := os.Remove(socket); err != nil && !os.IsNotExist(err) { // of a process that was killed
		log.Fatal(err)
	}
	ferret, err := ferretdb.New(&ferretdb.Config{
		Listener:  ferretdb.ListenerConfig{Unix: socket},
		Logger:    slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError})),
		Handler:   "sqlite",
		SQLiteURL: "file:" + *folder + "/?_pragma=synchronous(off)",
	})
	if err != nil {
		log.Fatal(err)
	}

	listener, err := net.Listen("tcp", *address)
	if err != nil {
		log.Fatal(err)
	}
	front := newFront(socket, listener.Addr().String(), *set)
	if *user != "" {
		if front.login, err = newLogin(*user, *password); err != nil {
			log.Fatal(err)
		}
	}
	hangUp := make(chan os.Signal, 1)
	signal.Notify(hangUp, syscall.SIGUSR1)
	go func() {
		for range hangUp {
			front.hangUp()
		}
	}()

	port := listener.Addr().(*net.TCPAddr).Port
	if *certificate != "" {
		pair, err := tls.LoadX509KeyPair(*certificate, *certificate)
		if err != nil {
			log.Fatal(err)
		}
		listener = tls.NewListener(listener, &tls.Config{Certificates: []tls.Certificate{pair}})
	}
	go front.serve(listener)
	fmt.Printf("listening %d\n", port)

	if err := ferret.Run(ctx); err != nil {
		log.Fatal(err)
	}
}
