// Reads a group with history, over lost connections: each message once, in order, none left out.
//   follow("wss://example.com/orders", "{{ since }}", show, () => location.reload())
function follow(url, since, onMessage, onLost) {
  let [epoch, offset] = since.split(":")
  offset = Number(offset)
  function connect() {
    const socket = new WebSocket(`${url}?since=${epoch}:${offset}`)
    let early = [] // what came before the frame that says what was missed
    function read(frame) {
      if (frame.epoch !== epoch || frame.offset > offset + 1) socket.close() // come back for it
      else if (frame.offset > offset) ({ offset } = frame), onMessage(frame.data)
    }
    socket.onmessage = ({ data }) => {
      const frame = JSON.parse(data)
      if (!("recovered" in frame)) return early ? early.push(frame) : read(frame)
      ;({ epoch, offset } = frame)
      frame.recovered ? frame.recovered.forEach(onMessage) : onLost()
      early.splice(0).forEach(read)
      early = null
    }
    socket.onclose = () => setTimeout(connect, 500 + 1500 * Math.random())
  }
  connect()
}
