//! Keep: waiting work, embedded or RabbitMQ.
