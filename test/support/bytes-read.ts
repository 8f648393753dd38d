import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { once } from 'node:events'
import type { IncomingMessage } from 'node:http'
import type { Socket } from 'node:net'

/** A request as a server of this process has it before itself. */
export type SeenRequest = {
  method: string
  path: string
  /**
   * What the server has read from the connection so far, headers included. Node counts it where bytes leave the kernel,
   * so neither what a sender could write nor what waits in socket buffers is in it.
   */
  bytesRead(): number
  /** Resolves when the connection is closed on the server's side. */
  closed(): Promise<void>
}

export type WatchedServer = {
  requests: readonly SeenRequest[]
  /** Of this method, the last one. */
  last(method: string): SeenRequest
  stop(): void
}

type Started = { request: IncomingMessage; socket: Socket }

/** Looks at the requests that reach the server at `url`, which runs in this process. */
export function watchServer(url: string): WatchedServer {
  const port = Number(new URL(url).port)
  const requests: SeenRequest[] = []
  const onStart = (message: unknown) => {
    const { request, socket } = message as Started
    if (socket.localPort !== port) return
    requests.push({
      method: request.method ?? '',
      path: request.url ?? '',
      bytesRead: () => socket.bytesRead,
      closed: async () => {
        if (!socket.destroyed) await once(socket, 'close')
      },
    })
  }
  subscribe('http.server.request.start', onStart)
  return {
    requests,
    last(method) {
      const request = requests.findLast((one) => one.method === method)
      if (!request) throw new Error(`no ${method} has reached the server`)
      return request
    },
    stop: () => void unsubscribe('http.server.request.start', onStart),
  }
}
