// Pushes through the npm client node-baidu-push, unmodified, to a simulator that stands in as its HTTP proxy, so that the
// signed host stays Baidu's. Prints one line of JSON for each step: {"step", "code" (0: taken), "msg_id"}.
// Called with: node check.js KEY SECRET CHANNEL BURST, and http_proxy in the environment.
'use strict'

const Client = require('node-baidu-push/lib/client') // the package's main entry is missing from it

const [key, secret, channel, burst] = process.argv.slice(2)

function say (step, error, result) {
  const code = error ? error.code || error.error_code || error.message : 0
  const id = result && result.response_params && result.response_params.msg_id
  console.log(JSON.stringify({ step, code, msg_id: id === undefined ? undefined : String(id) }))
}

function push (step, client, text) {
  const msg = { title: text, description: text, custom_content: { message: step } }
  return new Promise(resolve => {
    client.pushMsgToSingleDevice(channel, msg, { msg_type: 1, device_type: 3 }, (error, result) => {
      say(step, error, result)
      resolve()
    })
  })
}

async function main () {
  const client = new Client(key, secret, 'api.tuisong.baidu.com')
  await push('chinese', client, '订单 已发货')
  await push('marks', client, "~*()'! +%&=")
  await push('wrong secret', new Client(key, secret + 'x', 'api.tuisong.baidu.com'), 'x')
  for (let i = 0; i < Number(burst); i++) await push('burst', client, 'burst')
}

main()
