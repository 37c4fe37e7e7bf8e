// Verifies a webhook with the npm library standardwebhooks, unmodified: {secret, body, headers} on standard input.
const { Webhook } = require("standardwebhooks");
const { secret, body, headers } = JSON.parse(require("fs").readFileSync(0, "utf8"));
const webhook = new Webhook(secret);
const event = webhook.verify(body, headers);
let changed = "passed";
try {
  webhook.verify(body + " ", headers);
} catch {
  changed = "refused";
}
console.log(`verified ${event.type}; a changed body: ${changed}`);
