import { Counter, Gauge, type Registry } from 'prom-client'

/** A gauge in this register, with these labels. */
export const gauge = (register: Registry, name: string, help: string, ...labelNames: string[]): Gauge =>
  new Gauge({ name, help, labelNames, registers: [register] })

/** The same of a counter. */
export const counter = (register: Registry, name: string, help: string, ...labelNames: string[]): Counter =>
  new Counter({ name, help, labelNames, registers: [register] })
