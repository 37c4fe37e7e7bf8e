package tidings

import (
	"slices"
	"strings"
)

// Channel is a way to reach a user.
type Channel string

// The channels.
const (
	Web     Channel = "web"     // the merchant's page, over Comet
	App     Channel = "app"     // the mobile app or the browser, by a push provider
	SMS     Channel = "sms"     // a text message, by an SMS gateway
	Email   Channel = "email"   // a mail, by a mail server
	Webhook Channel = "webhook" // the merchant's own system, at a URL of his
	Bot     Channel = "bot"     // a robot in the merchant's group: DingTalk, WeCom, Feishu
)

// Channels lists every channel in the order in which they are shown.
var Channels = []Channel{Web, App, SMS, Email, Webhook, Bot}

// Addressed lists the channels on which a user has an address: all but the web, whose address is the user himself.
var Addressed = Channels[1:]

// Valid tells whether c is a channel.
func (c Channel) Valid() bool { return slices.Contains(Channels, c) }

// Titled tells whether what goes out on c has a title and a link beside its body. An SMS is its body alone.
func (c Channel) Titled() bool { return c != SMS }

// Names writes channels as a person reads them: "web, app, sms".
func Names[T ~string](cs []T) string {
	names := make([]string, len(cs))
	for i, c := range cs {
		names[i] = string(c)
	}
	return strings.Join(names, ", ")
}
