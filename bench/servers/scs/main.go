// net/http, bare or with scs: the three handlers of tornado_app.py, each store as its own README sets it up. It runs on
// one processor, as every server of the benchmark.
package main

import (
	"database/sql"
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"net/http"
	"os"
	"runtime"
	"runtime/debug"
	"strings"

	"github.com/alexedwards/scs/redisstore"
	"github.com/alexedwards/scs/sqlite3store"
	"github.com/alexedwards/scs/v2"
	"github.com/gomodule/redigo/redis"
	"github.com/mattn/go-sqlite3"
)

func main() {
	port := flag.String("port", "", "")
	url := flag.String("url", "", "of Redis")
	data := flag.String("data", "", "the folder for the file of SQLite")
	flag.Parse()

	about := map[string]string{"go": runtime.Version(), "durability": "nothing is stored"}
	mux := http.NewServeMux()
	mux.HandleFunc("/about", func(w http.ResponseWriter, r *http.Request) { json.NewEncoder(w).Encode(about) })

	var handler http.Handler = mux
	if *url == "" && *data == "" {
		mux.HandleFunc("/read", func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "1") })
		mux.HandleFunc("/write", func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "2") })
		mux.HandleFunc("/new", func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "1") })
	} else {
		manager := scs.New()
		if *url != "" {
			pool := &redis.Pool{MaxIdle: 10, Dial: func() (redis.Conn, error) { return redis.DialURL(*url) }}
			manager.Store = redisstore.New(pool)
			about["durability"] = "" // the harness asks Redis
		} else {
			db, err := sql.Open("sqlite3", *data+"/sessions.db")
			if err == nil {
				_, err = db.Exec(`CREATE TABLE sessions (token TEXT PRIMARY KEY, data BLOB NOT NULL, expiry REAL NOT NULL);
					CREATE INDEX sessions_expiry_idx ON sessions(expiry);`)
			}
			if err != nil {
				log.Fatal(err)
			}
			db.SetMaxOpenConns(1) // else a writer meets "database is locked" at 64 connections
			manager.Store = sqlite3store.New(db)
			var journal, synchronous string
			db.QueryRow("PRAGMA journal_mode").Scan(&journal)
			db.QueryRow("PRAGMA synchronous").Scan(&synchronous)
			level := map[string]string{"0": "OFF", "1": "NORMAL", "2": "FULL", "3": "EXTRA"}[synchronous]
			about["durability"] = "journal_mode=" + strings.ToUpper(journal) + ", synchronous=" + level
			about["sqlite"], _, _ = sqlite3.Version()
		}
		info, _ := debug.ReadBuildInfo()
		for _, module := range info.Deps {
			if module.Path == "github.com/alexedwards/scs/v2" {
				about["scs"] = module.Version
			}
		}
		count := func(next func(int) int) http.HandlerFunc {
			return func(w http.ResponseWriter, r *http.Request) {
				seen := manager.GetInt(r.Context(), "n")
				n := next(seen)
				if n != seen {
					manager.Put(r.Context(), "n", n)
				}
				fmt.Fprint(w, n)
			}
		}
		mux.HandleFunc("/read", count(func(n int) int { return n }))
		mux.HandleFunc("/write", count(func(n int) int { return n + 1 }))
		mux.HandleFunc("/new", count(func(n int) int { return 1 }))
		handler = manager.LoadAndSave(mux)
	}
	runtime.GOMAXPROCS(1)
	fmt.Fprintln(os.Stderr, http.ListenAndServe("127.0.0.1:"+*port, handler))
	os.Exit(1)
}
