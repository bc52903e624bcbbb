package main

import (
	"errors"
	"fmt"

	"github.com/FerretDB/wire/wirebson"
	"github.com/xdg-go/scram"
)

const mechanism = "SCRAM-SHA-256"

// login knows the one user that may ask.
type login struct {
	server *scram.Server
}

func newLogin(user, password string) (*login, error) {
	client, err := scram.SHA256.NewClient(user, password, "")
	if err != nil {
		return nil, err
	}
	known := client.GetStoredCredentials(scram.KeyFactors{Salt: "of the tests", Iters: 4096})
	server, err := scram.SHA256.NewServer(func(name string) (scram.StoredCredentials, error) {
		if name != user {
			return scram.StoredCredentials{}, errors.New("no such user")
		}
		return known, nil
	})
	return &login{server}, err
}

// visitor returns who has not logged in yet.
func (l *login) visitor() *visitor {
	return &visitor{login: l}
}

// visitor is what is known of who is at the other end of a connection.
type visitor struct {
	login        *login
	conversation *scram.ServerConversation
}

// answer replies to what belongs to a login, and to what needs one; nil: FerretDB is to answer.
func (v *visitor) answer(command *wirebson.Document) (*wirebson.Document, error) {
	if v.login == nil {
		return nil, nil
	}
	switch name := command.Command(); name {
	case "saslStart":
		if command.Get("mechanism") != mechanism {
			return refusal(334, "MechanismUnavailable", fmt.Sprintf("expected %s", mechanism)), nil
		}
		v.conversation = v.login.server.NewConversation()
		return v.step(command)
	case "saslContinue":
		return v.step(command)
	case "hello", "isMaster", "ismaster", "ping", "buildInfo", "buildinfo":
		return nil, nil
	default:
		if v.conversation != nil && v.conversation.Valid() {
			return nil, nil
		}
		return refusal(13, "Unauthorized", fmt.Sprintf("Command %s requires authentication", name)), nil
	}
}

// step goes on with a login.
func (v *visitor) step(command *wirebson.Document) (*wirebson.Document, error) {
	said, ok := command.Get("payload").(wirebson.Binary)
	if !ok || v.conversation == nil {
		return refusal(17, "ProtocolError", "no login is under way"), nil
	}
	if v.conversation.Done() { // a client that does not skip the empty exchange
		return step("", true)
	}
	answer, err := v.conversation.Step(string(said.B))
	if err != nil {
		return refusal(18, "AuthenticationFailed", "Authentication failed."), nil
	}
	return step(answer, v.conversation.Done())
}

func step(answer string, done bool) (*wirebson.Document, error) {
	return wirebson.NewDocument(
		"conversationId", int32(1), "done", done, "payload", wirebson.Binary{B: []byte(answer)}, "ok", float64(1),
	)
}
